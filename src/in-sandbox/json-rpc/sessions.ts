import { INVALID_PARAMS, RpcError } from './client.ts';
import type { Json } from './json.ts';

/** The sessions of an agent's process, by their ids. */
export class Sessions<Session extends { readonly id: string }> {
  readonly #byId = new Map<unknown, Session>();

  add(session: Session): Session {
    this.#byId.set(session.id, session);
    return session;
  }

  /** Returns the session that a request names. Throws `RpcError`. */
  of({ sessionId }: Json): Session {
    const session = this.#byId.get(sessionId);
    if (session === undefined) throw new RpcError(INVALID_PARAMS, 'The session does not exist.');
    return session;
  }

  all(): Session[] {
    return [...this.#byId.values()];
  }
}
