// One call, as the page shows and steers it.

import { signal } from "@preact/signals";
import type { RTCSession } from "jssip/lib/RTCSession";

export type State = "ringing" | "dialling" | "early" | "active" | "held" | "ended";

/** What was measured of the audio since the last look. */
export interface Quality {
  /** Lost of what should have come, 0 to 1. */
  loss: number;
  jitterMs: number;
  roundTripMs: number | null;
  codec: string;
}

const MEASURE_MS = 1000;
/** Points of a plot: ten minutes at one a second. */
const POINTS_MAX = 600;

export class Call {
  readonly state;
  readonly muted = signal(false);
  /** Why it ended, in words. */
  readonly cause = signal("");
  readonly answeredAt = signal<Date | null>(null);
  readonly endedAt = signal<Date | null>(null);
  readonly quality = signal<readonly Quality[]>([]);
  /** What arrives, for the loudspeaker and the meter. */
  readonly remote = signal<MediaStream | null>(null);
  readonly local = signal<MediaStream | null>(null);
  readonly startedAt = new Date();
  private timer = 0;
  private counted = { received: 0, lost: 0 };

  constructor(
    private readonly session: RTCSession,
    readonly direction: "in" | "out",
  ) {
    this.state = signal<State>(direction === "in" ? "ringing" : "dialling");
    session.on("peerconnection", ({ peerconnection }) => this.watch(peerconnection));
    // Of a call that we make, the connection is there before anybody can listen.
    const connection: RTCPeerConnection | null = session.connection;
    if (connection) this.watch(connection);
    session.on("progress", () => {
      if (this.state.value === "dialling") this.state.value = "early";
    });
    session.on("accepted", () => this.answered());
    session.on("confirmed", () => this.answered());
    session.on("hold", () => this.showHold());
    session.on("unhold", () => this.showHold());
    session.on("muted", () => (this.muted.value = true));
    session.on("unmuted", () => (this.muted.value = false));
    session.on("ended", ({ cause, message, originator }) => {
      const bye = (originator as string) === "local" ? "you hung up" : "they hung up";
      this.over(cause === "Terminated" ? bye : cause, message);
    });
    session.on("failed", ({ cause, message }) => this.over(cause, message));
  }

  get id(): string {
    return this.session.id;
  }

  /** The Call-ID, by which its messages are found. */
  get callId(): string {
    const request = (this.session as unknown as { _request?: { call_id?: string } })._request;
    return request?.call_id ?? "";
  }

  get who(): string {
    const identity = this.session.remote_identity;
    return identity.display_name || identity.uri.user || "unknown";
  }

  answer(): void {
    this.session.answer({ mediaConstraints: { audio: true, video: false } });
  }

  /** Hangs up, gives up or declines, whichever it is. */
  end(): void {
    if (this.state.value === "ended") return;
    const declined = this.direction === "in" && this.state.value === "ringing";
    this.session.terminate(declined ? { status_code: 486, reason_phrase: "Busy Here" } : undefined);
  }

  toggleMute(): void {
    if (this.muted.value) this.session.unmute({ audio: true });
    else this.session.mute({ audio: true });
  }

  toggleHold(): void {
    if (this.state.value === "held") this.session.unhold();
    else this.session.hold();
  }

  digit(tone: string): void {
    this.session.sendDTMF(tone, { transportType: "RFC2833" as never, duration: 120, interToneGap: 70 });
  }

  /** Has the other side call somebody else instead of us; ends when that was taken. */
  transfer(target: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const refused = (event?: { status_line?: { status_code: number; reason_phrase: string }; cause?: string }) => {
        const status = event?.status_line;
        const text = status ? `${status.status_code} ${status.reason_phrase}` : (event?.cause ?? "no answer");
        reject(new Error(`The transfer failed: ${text}.`));
      };
      const eventHandlers = { accepted: () => resolve(), failed: refused, requestFailed: refused };
      this.session.refer(target, { eventHandlers });
    });
  }

  /** The input device of the call, changed while it goes on. */
  async useMicrophone(deviceId: string): Promise<void> {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: { deviceId: { exact: deviceId } } });
    const [track] = stream.getAudioTracks();
    const sender = this.session.connection.getSenders().find((one) => one.track?.kind === "audio");
    if (!track || !sender) return;
    track.enabled = !this.muted.value;
    sender.track?.stop();
    await sender.replaceTrack(track);
    this.local.value = stream;
  }

  private watch(connection: RTCPeerConnection): void {
    connection.addEventListener("track", (event) => {
      this.remote.value = event.streams[0] ?? new MediaStream([event.track]);
    });
    connection.addEventListener("signalingstatechange", () => {
      const track = connection.getSenders().find((sender) => sender.track?.kind === "audio")?.track;
      if (track && !this.local.value) this.local.value = new MediaStream([track]);
    });
    window.clearInterval(this.timer);
    this.timer = window.setInterval(() => void this.measure(connection), MEASURE_MS);
  }

  private answered(): void {
    if (this.state.value === "ended") return;
    this.answeredAt.value ??= new Date();
    this.showHold();
  }

  private showHold(): void {
    const { local, remote } = this.session.isOnHold();
    if (this.session.isEstablished()) this.state.value = local || remote ? "held" : "active";
    else if (this.answeredAt.value) this.state.value = "active";
  }

  private over(cause: string, message: unknown): void {
    window.clearInterval(this.timer);
    this.endedAt.value = new Date();
    this.cause.value = inWords(cause, message);
    this.state.value = "ended";
    for (const track of this.local.value?.getTracks() ?? []) track.stop();
  }

  private async measure(connection: RTCPeerConnection): Promise<void> {
    let codec = "";
    let roundTripMs: number | null = null;
    let now: { received: number; lost: number; jitterMs: number } | null = null;
    const report = await connection.getStats();
    for (const entry of report.values() as Iterable<Record<string, unknown>>) {
      if (entry["type"] === "inbound-rtp" && entry["kind"] === "audio") {
        const [received, lost] = [Number(entry["packetsReceived"] ?? 0), Number(entry["packetsLost"] ?? 0)];
        now = { received, lost, jitterMs: Number(entry["jitter"] ?? 0) * 1000 };
        const of = report.get(String(entry["codecId"])) as { mimeType?: string } | undefined;
        codec = of?.mimeType?.replace(/^audio\//, "") ?? "";
      } else if (entry["type"] === "remote-inbound-rtp" && typeof entry["roundTripTime"] === "number") {
        roundTripMs = entry["roundTripTime"] * 1000;
      }
    }
    if (!now || this.state.value === "ended") return;
    const [received, lost] = [now.received - this.counted.received, Math.max(0, now.lost - this.counted.lost)];
    this.counted = now;
    const loss = received + lost > 0 ? lost / (received + lost) : 0;
    const point = { loss, jitterMs: now.jitterMs, roundTripMs, codec };
    this.quality.value = [...this.quality.value, point].slice(-POINTS_MAX);
  }
}

interface Message {
  status_code?: number;
  reason_phrase?: string;
  getHeader?: (name: string) => string | undefined;
}

/** What ended a call: the status of the answer, or the text of a Reason header (RFC 3326), or JsSIP's word for it. */
export function inWords(cause: string, message: unknown): string {
  const sip = message as Message | null;
  const reason = sip?.getHeader?.("Reason");
  const text = reason ? /text="([^"]*)"/.exec(reason)?.[1] : undefined;
  if (text) return text;
  if (sip?.status_code && sip.status_code >= 300) return `${sip.status_code} ${sip.reason_phrase ?? ""}`.trim();
  return cause;
}
