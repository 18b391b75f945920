// Waiting in tests without guessing a duration.

/** Asks again every turn of the loop until the condition holds; the test's own timeout bounds it. */
export async function settled(condition: () => boolean): Promise<void> {
  while (!condition()) {
    await new Promise<void>((resolve) => {
      setTimeout(resolve, 1)
    })
  }
}
