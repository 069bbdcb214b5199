/** Resolves in the next turn of Node's loop: every promise that could go on by itself has done so by then. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
