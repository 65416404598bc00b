// What JsSIP expects of a browser, for signalling alone: a WebSocket with an origin and our CA, and a peer connection
// that agrees on whatever it is told without any media.
'use strict';
const fs = require('node:fs');
const crypto = require('node:crypto');
const WebSocketOfNode = require('ws');

const ORIGIN = process.env.ORIGIN || 'https://localhost';
const ca = process.env.CA_FILE ? fs.readFileSync(process.env.CA_FILE) : undefined;

/** Every socket that was opened, the newest last, so that a test can break one. */
const sockets = [];

class WebSocket extends WebSocketOfNode {
  constructor(url, protocols) {
    super(url, protocols, { ca, origin: ORIGIN, rejectUnauthorized: true });
    sockets.push(this);
  }
}

function hex(bytes) {
  return crypto.randomBytes(bytes).toString('hex');
}

class MediaStreamTrack {
  constructor() {
    this.kind = 'audio';
    this.enabled = true;
  }
  stop() {}
}

class MediaStream {
  constructor() {
    this.tracks = [new MediaStreamTrack()];
  }
  getTracks() {
    return this.tracks;
  }
  getAudioTracks() {
    return this.tracks;
  }
  getVideoTracks() {
    return [];
  }
}

class RTCPeerConnection extends EventTarget {
  constructor() {
    super();
    this.signalingState = 'stable';
    this.iceConnectionState = 'connected';
    this.connectionState = 'connected';
    this.iceGatheringState = 'complete';
    this.direction = 'sendrecv';
    this.version = 0;
    this.ufrag = hex(4);
    this.password = hex(12);
    this.fingerprint = hex(32).toUpperCase().match(/../g).join(':');
  }
  getSenders() {
    return [];
  }
  getReceivers() {
    return [];
  }
  addTrack() {}
  addStream() {}
  getLocalStreams() {
    return [];
  }
  getRemoteStreams() {
    return [];
  }
  describe(setup) {
    this.version += 1;
    return [
      'v=0',
      `o=- 4611731400430051336 ${this.version} IN IP4 127.0.0.1`,
      's=-',
      't=0 0',
      'a=group:BUNDLE 0',
      'm=audio 9 UDP/TLS/RTP/SAVPF 111 0 8 110 126',
      'c=IN IP4 0.0.0.0',
      'a=rtcp:9 IN IP4 0.0.0.0',
      `a=ice-ufrag:${this.ufrag}`,
      `a=ice-pwd:${this.password}`,
      'a=ice-options:trickle',
      `a=fingerprint:sha-256 ${this.fingerprint}`,
      `a=setup:${setup}`,
      'a=mid:0',
      `a=${this.direction}`,
      'a=rtcp-mux',
      'a=rtpmap:111 opus/48000/2',
      'a=fmtp:111 minptime=10;useinbandfec=1',
      'a=rtpmap:0 PCMU/8000',
      'a=rtpmap:8 PCMA/8000',
      'a=rtpmap:110 telephone-event/48000',
      'a=rtpmap:126 telephone-event/8000',
      `a=x-of:${this.ufrag}`,
      '',
    ].join('\r\n');
  }
  async createOffer() {
    return { type: 'offer', sdp: this.describe('actpass') };
  }
  async createAnswer() {
    return { type: 'answer', sdp: this.describe('active') };
  }
  async setLocalDescription(description) {
    this.localDescription = description;
    this.signalingState = description.type === 'offer' ? 'have-local-offer' : 'stable';
  }
  async setRemoteDescription(description) {
    this.remoteDescription = description;
    this.signalingState = description.type === 'offer' ? 'have-remote-offer' : 'stable';
  }
  close() {
    this.signalingState = 'closed';
  }
}

Object.assign(globalThis, {
  WebSocket,
  MediaStream,
  MediaStreamTrack,
  RTCPeerConnection,
  RTCSessionDescription: class {
    constructor(init) {
      Object.assign(this, init);
    }
  },
});
globalThis.window = globalThis;
if (!globalThis.navigator) {
  globalThis.navigator = {};
}
Object.defineProperty(globalThis.navigator, 'mediaDevices', {
  value: { getUserMedia: async () => new MediaStream() },
  configurable: true,
});

module.exports = { sockets };
