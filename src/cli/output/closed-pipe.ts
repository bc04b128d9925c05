/**
 * Calls back when the reader of a stream has gone, as with `| head`, or a `tee` that Ctrl-C ended together with us. What is
 * written from then on is lost; unheard, it would end the process in the middle of its work.
 */
export function onClosedPipe(stream: NodeJS.WriteStream, callback: () => void): void {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    callback();
  });
}
