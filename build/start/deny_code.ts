/**
 * Denies code made of text at run time, as V8's flag `--disallow-code-generation-from-strings` does.
 * With that flag V8 refuses the code cache of Node's own modules, and a start takes half as long
 * again. So what makes code of text is replaced before the first line of the program, and the
 * replacements stay: `test/package/code_from_strings.package.test.ts` compares both ways.
 *
 * @module
 */

import module from 'node:module'
import vm from 'node:vm'

/** All but the first have no global name: they are reached through functions of their kind. */
const CONSTRUCTORS = [
  Function,
  (async () => await undefined).constructor,
  function* sample() {
    yield
  }.constructor,
  async function* sample() {
    yield
  }.constructor,
]

/** The flag leaves these; nothing in the program needs them. */
const ALSO = [
  [vm, 'Script'],
  [vm, 'compileFunction'],
  [vm, 'createContext'],
  [vm, 'createScript'],
  [vm, 'runInContext'],
  [vm, 'runInThisContext'],
  [module.prototype, '_compile'],
] as const

export function denyCode(): void {
  for (const { name, prototype } of CONSTRUCTORS) {
    const replacement = denied(name)
    // What inherits from it or asks for `instanceof` finds the same prototype.
    fix(replacement, 'prototype', prototype)
    fix(prototype, 'constructor', Object.freeze(replacement))
  }
  fix(globalThis, 'Function', Function.prototype.constructor)
  fix(globalThis, 'eval', Object.freeze(denied('eval')))
  for (const [owner, name] of ALSO) {
    fix(owner, name, Object.freeze(denied(name)))
  }
  fix(vm, 'runInNewContext', Object.freeze(onlyGlobal(vm.runInNewContext)))
}

/** Node itself asks for a global object beside this one; where it may make code of text no less. */
function onlyGlobal(runInNewContext: typeof vm.runInNewContext): (code: unknown) => unknown {
  const deny = denied('runInNewContext')
  const contextCodeGeneration = { strings: false, wasm: false }
  return (code) =>
    code === 'this' ? runInNewContext('this', undefined, { contextCodeGeneration }) : deny()
}

function denied(name: string): () => never {
  function replacement(): never {
    throw new EvalError('Code generation from strings disallowed for this context')
  }
  Object.defineProperty(replacement, 'name', { value: name })
  return replacement
}

function fix(owner: object, name: string, value: unknown): void {
  Object.defineProperty(owner, name, {
    value,
    writable: false,
    enumerable: false,
    configurable: false,
  })
}
