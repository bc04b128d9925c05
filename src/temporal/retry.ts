import { status } from '@grpc/grpc-js';
import { defaultGrpcRetryOptions, makeGrpcRetryInterceptor, type ConnectionOptions } from '@temporalio/client';

type Interceptor = NonNullable<ConnectionOptions['interceptors']>[number];

const retry = makeGrpcRetryInterceptor(defaultGrpcRetryOptions());

/**
 * The SDK's retry of calls, for connections that may be closed while a call waits for its next try: there the SDK (1.24.0) throws from a
 * timer, which ends the process. With this the call fails as cancelled.
 */
export const retryUntilClosed: Interceptor = (options, nextCall) => {
  let isFirst = true;
  return retry(options, (next) => {
    try {
      return nextCall(next);
    } catch (error) {
      if (isFirst) throw error;
      return {
        start(metadata, listener) {
          queueMicrotask(() => listener?.onReceiveStatus?.({ code: status.CANCELLED, details: 'The connection was closed.', metadata }));
        },
        sendMessage: () => {},
        sendMessageWithContext: () => {},
        startRead: () => {},
        halfClose: () => {},
        cancelWithStatus: () => {},
        getPeer: () => '',
        getAuthContext: () => null,
      };
    } finally {
      isFirst = false;
    }
  });
};
