import type { Engine, RtcPeerConnection } from 'mcp-rendezvous';

/** Has hold of the connections that an engine makes. */
export class Hold {
  /** The same engine, but its connections are known here. */
  readonly engine: Engine;
  /** Connections made, and descriptions that began an ICE restart on one of them. */
  connections = 0;
  restarts = 0;
  readonly #made: RtcPeerConnection[] = [];

  constructor(engine: Engine) {
    this.engine = {
      ...engine,
      createPeerConnection: (configuration) => this.#watch(engine.createPeerConnection(configuration)),
    };
  }

  /** Closes all connections on this side, behind the SDK's back. */
  cut(): void {
    for (const connection of this.#made.splice(0)) void connection.close();
  }

  #watch(connection: RtcPeerConnection): RtcPeerConnection {
    this.connections++;
    this.#made.push(connection);
    const setLocalDescription = connection.setLocalDescription.bind(connection);
    let descriptions = 0;
    connection.setLocalDescription = (description) => {
      if (descriptions++ > 0) this.restarts++;
      return setLocalDescription(description);
    };
    return connection;
  }
}
