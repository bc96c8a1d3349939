// Prints where in the bundle it is.
import process from 'node:process'

function here() {
  return new Error('here').stack
}

process.stdout.write(here())
