import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import type { Call } from "../sip/call";

/** The loudspeaker in use, by its id; empty for the default one. */
export const speaker = signal("");

/** Which microphone and which loudspeaker. Their names are known once a call was allowed to use one. */
export function Devices({ call }: { call: Call | null }) {
  const [devices, setDevices] = useState<readonly MediaDeviceInfo[]>([]);
  useEffect(() => {
    const media = navigator.mediaDevices as MediaDevices | undefined;
    if (!media) return undefined;
    const look = () => void media.enumerateDevices().then(setDevices, () => undefined);
    look();
    media.addEventListener("devicechange", look);
    return () => media.removeEventListener("devicechange", look);
  }, [call]);
  const of = (kind: MediaDeviceKind) => devices.filter((device) => device.kind === kind && device.deviceId);
  const [inputs, outputs] = [of("audioinput"), of("audiooutput")];
  return (
    <div class="devices">
      {call && inputs.length > 1 && (
        <Choice title="Microphone" devices={inputs} choose={(id) => void call.useMicrophone(id)} />
      )}
      {outputs.length > 1 && <Choice title="Loudspeaker" devices={outputs} choose={(id) => (speaker.value = id)} />}
    </div>
  );
}

function Choice(props: { title: string; devices: readonly MediaDeviceInfo[]; choose: (id: string) => void }) {
  const { title, devices, choose } = props;
  return (
    <label>
      {title}
      <select onChange={(event) => choose(event.currentTarget.value)}>
        {devices.map((device, index) => (
          <option key={device.deviceId} value={device.deviceId}>
            {device.label || `${title} ${index + 1}`}
          </option>
        ))}
      </select>
    </label>
  );
}
