// What the scripts share. A script is run as: node SCRIPT SCENARIO BROKER [ARGUMENT ...]
// It ends with exit code 0 when everything it asserts holds, and talks to the test that runs it in lines.
import assert from 'node:assert/strict'
import { createInterface } from 'node:readline'

const deadline = 45_000

export const [scenario, broker, ...rest] = process.argv.slice(2)

/** Tells the test that runs the script that something has happened. */
export function say(line) {
  process.stdout.write(`${line}\n`)
}

/** Waits until the test that runs the script has written a line. */
export async function hear() {
  const lines = createInterface({ input: process.stdin })
  for await (const line of lines) {
    lines.close()
    return line
  }

  throw new Error('Standard input ended.')
}

/** Looks again and again until the condition holds; what it returns is returned. */
export async function until(what, condition) {
  const end = Date.now() + deadline
  while (true) {
    const result = await condition()
    if (result) {
      return result
    }

    assert.ok(Date.now() < end, `Not in time: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 25))
  }
}

/** The numbers from 0 on, as many as asked. */
export function numbers(count) {
  return [...Array(count).keys()]
}

/** Runs the scenario that the command line names, and ends the process. */
export async function run(scenarios) {
  assert.ok(scenarios[scenario], `'${scenario}' is not one of ${Object.keys(scenarios)}.`)
  try {
    await scenarios[scenario]()
    process.exit(0)
  } catch (error) {
    console.error(error)
    process.exit(1)
  }
}
