type Handler = (reason: unknown) => void;

/**
 * Sends every unhandled rejection of this process to `handler`, instead of to whoever listened before, until the
 * returned function is called. For the simulator, where such an error ends the run that it happened in.
 */
export function captureUnhandled(handler: Handler): () => void {
  const before = process.listeners('unhandledRejection');
  process.removeAllListeners('unhandledRejection');
  process.on('unhandledRejection', handler);
  return () => {
    process.off('unhandledRejection', handler);
    for (const listener of before) process.on('unhandledRejection', listener);
  };
}
