import { useEffect, useRef } from "preact/hooks";

/** One for the page: browsers allow few. */
let context: AudioContext | null = null;

/** How loud a stream is. */
export function Meter({ title, stream }: { title: string; stream: MediaStream | null }) {
  const element = useRef<HTMLMeterElement>(null);
  useEffect(() => {
    if (!stream || stream.getAudioTracks().length === 0) return undefined;
    context ??= new AudioContext();
    const analyser = context.createAnalyser();
    analyser.fftSize = 1024;
    const source = context.createMediaStreamSource(stream);
    source.connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    let frame = 0;
    const look = () => {
      analyser.getFloatTimeDomainData(samples);
      const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
      // From -60 dB, which is silence, to full scale.
      const level = Math.max(0, 60 + 10 * Math.log10(power + 1e-10));
      if (element.current) element.current.value = level;
      frame = requestAnimationFrame(look);
    };
    look();
    return () => {
      cancelAnimationFrame(frame);
      source.disconnect();
    };
  }, [stream]);
  return (
    <label class="meter">
      {title} <meter ref={element} min={0} max={60} high={54} value={0} />
    </label>
  );
}
