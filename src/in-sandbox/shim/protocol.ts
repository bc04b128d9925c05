/** The notifications between a worker and the shim begin with this. */
export const SHIM_METHOD_PREFIX = '_valetkey/';

/**
 * From the worker, `{ after }`. The shim does not forward it: that it can be written shows that the agent’s process runs. `after` is
 * the number of the newest message that the sender has; where it is not the newest, the shim answers, and the sender sees a gap.
 */
export const PING_METHOD = '_valetkey/ping';

/** From the shim: its answer to a ping. */
export const NEWEST_METHOD = '_valetkey/newest';

/** From the shim, `{ id }`: a prompt was received. It is sent again for each repeat. */
export const RECEIPT_METHOD = '_valetkey/received';

/** From the shim, `{ bytes }`: the agent wrote something of that length that is not a message. */
export const UNREADABLE_METHOD = '_valetkey/unreadable';

/** The JSON-RPC error code with which the shim answers a prompt that an earlier process of the agent received and did not answer. */
export const INTERRUPTED_CODE = -31001;
