import type { WebSocketConstructor } from '../../signaling/web-socket.ts';

/** A frame that a peer and the relay exchanged. Nothing of what was in it is kept. */
export interface RecordedFrame {
  from: string;
  to: string;
  type: string;
  bytes: number;
}

/**
 * A WebSocket that writes down what passes it.
 *
 * @param peer the name of its end, for people
 */
export function recordingWebSocket(peer: string, record: (frame: RecordedFrame) => void): WebSocketConstructor {
  return class extends WebSocket {
    constructor(url: URL, protocols: string) {
      super(url, protocols);
      this.addEventListener('message', ({ data }: MessageEvent) => {
        record({ from: 'relay', to: peer, ...frameOf(data) });
      });
    }

    override send(data: Parameters<WebSocket['send']>[0]): void {
      super.send(data);
      record({ from: peer, to: 'relay', ...frameOf(data) });
    }
  };
}

function frameOf(data: unknown): Pick<RecordedFrame, 'type' | 'bytes'> {
  if (typeof data !== 'string') return { type: 'relayed data', bytes: (data as ArrayBuffer).byteLength };
  const { type } = JSON.parse(data) as { type: string };
  return { type, bytes: Buffer.byteLength(data) };
}
