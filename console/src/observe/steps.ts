import type { DiagnosticEvent } from 'mcp-rendezvous';
import type { Journal } from './journal.ts';

/** Enters into a journal what the SDK tells of a connection: for its option `ondiagnostic`. */
export const observedSteps =
  (journal: Journal) =>
  (event: DiagnosticEvent): void => {
    switch (event.type) {
      case 'relay_open':
        journal.mark('relay');
        return journal.travel('to-relay');
      case 'joined':
        journal.relay.value = 'online';
        journal.mark('room');
        return journal.travel('from-relay');
      case 'peer':
        // The engine does not tell: the offer may travel with the join, before anybody is there.
        if (event.state === 'online') journal.mark('peer');
        return journal.travel('from-relay');
      case 'candidate':
        return journal.travel(event.side === 'local' ? 'to-relay' : 'from-relay');
      case 'offer_sent':
        return journal.travel('to-relay');
      case 'offer_received':
        return journal.travel('from-relay');
      case 'answer_sent':
        journal.mark('answer');
        return journal.travel('to-relay');
      case 'answer_received':
        journal.mark('answer');
        return journal.travel('from-relay');
      case 'connection':
        if (['connected', 'completed'].includes(event.iceState)) journal.mark('path');
        if (event.state === 'connected') journal.mark('secure');
        return;
      case 'channel_open':
        return journal.mark('channel');
      case 'session_open':
        return journal.mark('session');
      case 'relay_lost':
        journal.relay.value = 'offline';
        return;
      case 'path_changed':
        // Unlike the transport's event it also comes when the same path is back.
        return journal.moved(event.path);
      case 'state':
      case 'engine_changed':
      case 'first_message':
        // Seen elsewhere: the state of the transport, its errors and its statistics.
        return;
    }
  };
