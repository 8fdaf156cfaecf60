// Runs in every page before its own scripts: keeps what a person cannot see of a call, for `Tab.media()`.

(() => {
  const peers = [];
  /** The types of the local descriptions of every peer connection of this page, in order. */
  const descriptions = [];
  const Native = window.RTCPeerConnection;

  window.RTCPeerConnection = class RTCPeerConnection extends Native {
    constructor(configuration) {
      super({ ...configuration, ...window.forced });
      peers.push(this);
      this.addEventListener('track', watch);
    }

    async setLocalDescription(...description) {
      await super.setLocalDescription(...description);
      if (this.localDescription !== null) descriptions.push(this.localDescription.type);
    }
  };

  const tracks = [];
  // about:blank has none.
  const devices = navigator.mediaDevices;
  if (devices !== undefined) {
    watchCapture('getUserMedia', ({ kind }) => (kind === 'audio' ? 'microphone' : 'camera'));
    watchCapture('getDisplayMedia', () => 'screen');
  }

  function watchCapture(method, deviceOf) {
    const native = devices[method].bind(devices);
    devices[method] = async (...constraints) => {
      const stream = await native(...constraints);
      for (const track of stream.getTracks()) tracks.push({ track, device: deviceOf(track) });
      return stream;
    };
  }

  /** The devices in use, each as often as it was captured. */
  const captured = () =>
    tracks.filter(({ track }) => track.readyState === 'live').map(({ device }) => device).sort();

  addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => {
    console.error(`CSP violation: ${violatedDirective} ${blockedURI}`);
  });

  const isShown = (video) =>
    video.videoWidth > 0 && video.checkVisibility({ visibilityProperty: true, opacityProperty: true });

  /** The pictures of the peer on this page that can be seen, by the id of their track. */
  function pictures(pc) {
    const theirs = new Set(pc.getReceivers().map(({ track }) => track.id));
    const found = {};
    for (const video of document.querySelectorAll('video')) {
      const [track] = video.srcObject?.getVideoTracks() ?? [];
      if (track === undefined || !theirs.has(track.id) || !isShown(video)) continue;
      found[track.id] = {
        label: video.ariaLabel,
        width: video.videoWidth,
        height: video.videoHeight,
        frames: video.getVideoPlaybackQuality().totalVideoFrames,
      };
    }
    return found;
  }

  async function media() {
    const pc = peers.findLast(({ connectionState }) => connectionState !== 'closed');
    if (pc === undefined) return null;
    const stats = await pc.getStats();
    const seen = pictures(pc);
    const summary = { connection: pc.connectionState, pair: null, audio: null, videos: [] };
    for (const report of stats.values()) {
      if (report.type === 'transport' && report.selectedCandidatePairId !== undefined) {
        const pair = stats.get(report.selectedCandidatePairId);
        const [local, remote] = [pair.localCandidateId, pair.remoteCandidateId].map((id) => stats.get(id));
        summary.pair = { local: local?.candidateType, remote: remote?.candidateType };
      }
      if (report.type !== 'inbound-rtp') continue;
      if (report.kind === 'audio') {
        summary.audio = { packets: report.packetsReceived, energy: report.totalAudioEnergy ?? 0 };
      } else {
        summary.videos.push({
          track: report.trackIdentifier,
          decoded: report.framesDecoded ?? 0,
          width: report.frameWidth ?? 0,
          height: report.frameHeight ?? 0,
          picture: seen[report.trackIdentifier] ?? null,
        });
      }
    }
    return summary;
  }

  const open = () => peers.filter(({ connectionState }) => connectionState !== 'closed').length;

  const waiting = new Set();

  /** The time of the first frame of the next video track that comes; one element more than the page's own shows it. */
  const firstPictureAt = () => new Promise((done) => waiting.add(done));

  function watch({ track }) {
    if (track.kind !== 'video' || waiting.size === 0) return;
    const video = document.createElement('video');
    video.muted = true;
    video.srcObject = new MediaStream([track]);
    video.requestVideoFrameCallback((now) => {
      video.srcObject = null;
      for (const done of waiting) done(performance.timeOrigin + now);
      waiting.clear();
    });
    void video.play();
  }

  window.probe = { captured, descriptions, media, open, firstPictureAt };
})();
