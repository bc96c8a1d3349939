// Tries every known way to make code of text, and prints as one line of JSON what became of each.
import { createRequire, Module, registerHooks } from 'node:module'
import process from 'node:process'
import { Readable, Writable } from 'node:stream'
import { setImmediate } from 'node:timers'
import vm from 'node:vm'

// Only code that was made of this text sets it.
const TEXT = 'globalThis.made = true'
const AWAY = '(target) => { target.made = true }'
const BODY = `${TEXT}; return 1`
const plain = () => 0
const awaiting = async () => await 0
function* yielding() {
  yield 0
}
async function* both() {
  yield 0
}
class Derived extends Function {}
const KINDS = { plain, awaiting, yielding, both }
const PROTOTYPES = Object.values(KINDS).map((kind) => Object.getPrototypeOf(kind))

const ways = {
  // biome-ignore lint/security/noGlobalEval: this is what is tried
  'direct eval': () => eval(TEXT),
  'indirect eval': () => byName('eval')(TEXT),
  'eval by Reflect': () => Reflect.apply(byName('eval'), undefined, [TEXT]),
  'new Function': () => new Function(BODY)(),
  'Function called': () => byName('Function')(BODY)(),
  'Function by Reflect': () => Reflect.construct(Function, [BODY])(),
  'Function for another target': () => Reflect.construct(Function, [BODY], Object)(),
  'class that extends Function': () => new Derived(BODY)(),
  'constructor of the prototype': () => Function.prototype.constructor(BODY)(),
  'constructor of a bound function': () => plain.bind().constructor(BODY)(),
  'constructor of a class': () => Derived.constructor(BODY)(),
  'constructor of one of Node': () => process.on.constructor(BODY)(),
  'constructor of a proxy': () => new Proxy(plain, {}).constructor(BODY)(),
  'constructor of a method of JSON': () => JSON.parse.constructor(BODY)(),
  'what the others inherit from': () => Object.getPrototypeOf(awaiting.constructor)(BODY)(),
  'constructor found by a stack trace': () => calling().constructor(BODY)(),
  'constructor put back': () => putBack().constructor(BODY)(),
  'setTimeout with a string': () => setTimeout(TEXT, 0),
  'setInterval with a string': () => setInterval(TEXT, 0),
  'setImmediate with a string': () => setImmediate(TEXT),
  'queueMicrotask with a string': () => queueMicrotask(TEXT),
  'eval of another realm': () => vm.runInNewContext('eval')(AWAY)(globalThis),
  'Function of another realm': () => vm.runInNewContext('Function')(`return ${AWAY}`)()(globalThis),
  'eval of a bare realm': () => vm.runInNewContext('this').eval(AWAY)(globalThis),
  'Function of a bare realm': () =>
    vm.runInNewContext('this').Function(`return ${AWAY}`)()(globalThis),
  'vm.Script': () => new vm.Script(TEXT).runInThisContext(),
  'vm.createScript': () => vm.createScript(TEXT).runInThisContext(),
  'vm.runInThisContext': () => vm.runInThisContext(TEXT),
  'vm.runInNewContext': () => vm.runInNewContext('target.made = true', { target: globalThis }),
  'vm.runInContext': () =>
    vm.runInContext('target.made = true', vm.createContext({ target: globalThis })),
  'vm.compileFunction': () => vm.compileFunction(BODY)(),
  'vm by its own require': () => createRequire('/x.js')('vm').runInThisContext(TEXT),
  'vm.SourceTextModule': () => new vm.SourceTextModule(TEXT).evaluate(),
  'Module._compile': () => new Module('x')._compile(TEXT, '/x.js'),
  'a hook of modules': () => hooked('commonjs'),
  'a hook of modules, with a module': () => hooked('module'),
  "import('data:')": () => import(`data:text/javascript,${encodeURIComponent(TEXT)}`),
  ShadowRealm: () => new ShadowRealm().evaluate(TEXT),
  'process.binding': () => process.binding('contextify').ContextifyScript(TEXT),
  Worker: () => new (builtin('worker_threads').Worker)(TEXT, { eval: true }),
  'node --eval': () => builtin('child_process').execFileSync(process.execPath, ['--eval', TEXT]),
  inspector: () => inspected(),
  'node:repl': () => typed(),
}
for (const [name, kind] of Object.entries(KINDS)) {
  ways[`constructor of ${name}`] = () => kind.constructor(BODY)().next?.()
  ways[`new constructor of ${name}`] = () => new kind.constructor(BODY)().next?.()
}

const results = {}
for (const [name, attempt] of Object.entries(ways)) results[name] = await resultOf(attempt)
const found = [...reachable()].filter(makesCode)
const answer = { results, found: found.map(({ name }) => name), walked: reachable().size }
process.stdout.write(`${JSON.stringify(answer)}\n`, () => process.exit())

async function resultOf(attempt) {
  globalThis.made = false
  try {
    await attempt()
    await new Promise((resolve) => setTimeout(resolve, 20))
    return globalThis.made ? 'made' : 'nothing'
  } catch ({ name, code }) {
    return globalThis.made ? 'made' : (code ?? name)
  }
}

function byName(name) {
  return Reflect.get(globalThis, name)
}

function builtin(name) {
  return process.getBuiltinModule(name)
}

function calling() {
  const before = Error.prepareStackTrace
  Error.prepareStackTrace = (_, sites) => sites.map((site) => site.getFunction()).find(Boolean)
  const found = [1].map(() => new Error('where').stack)[0]
  Error.prepareStackTrace = before
  return found ?? plain
}

/** What lies below a replacement, if a replacement can be taken away. */
function putBack() {
  const owner = Function.prototype
  const before = Object.getOwnPropertyDescriptor(owner, 'constructor')
  Reflect.deleteProperty(owner, 'constructor')
  const found = plain.constructor
  Reflect.defineProperty(owner, 'constructor', before)
  return { constructor: found }
}

function hooked(format) {
  const url = `made:${format}`
  registerHooks({
    resolve: (name, context, next) =>
      name === format ? { url, shortCircuit: true } : next(name, context),
    load: (asked, context, next) =>
      asked === url ? { format, source: TEXT, shortCircuit: true } : next(asked, context),
  })
  return createRequire('/x.js')(format)
}

function inspected() {
  const session = new (builtin('inspector').Session)()
  session.connect()
  session.post('Runtime.evaluate', { expression: TEXT })
}

async function typed() {
  const input = Readable.from([`${TEXT}\n`])
  const output = new Writable({ write: (_chunk, _encoding, done) => done() })
  builtin('repl').start({ input, output, useGlobal: true })
  await new Promise((resolve) => setTimeout(resolve, 200))
}

/** Everything that can be got from the global object and Node's modules without calling anything. */
function reachable() {
  const seen = new Set()
  const modules = Module.builtinModules.map((name) => {
    try {
      return builtin(name)
    } catch {
      return undefined
    }
  })
  const left = [globalThis, process, ...modules, ...Object.values(KINDS)]
  while (left.length > 0) {
    const next = left.pop()
    if (next === null || !/^(?:object|function)$/.test(typeof next) || seen.has(next)) continue
    seen.add(next)
    left.push(Object.getPrototypeOf(next))
    for (const { value, get, set } of Object.values(Object.getOwnPropertyDescriptors(next))) {
      left.push(value, get, set)
    }
  }
  return seen
}

/** Whether it is one of the functions that this is about, and does what it must not. */
function makesCode(value) {
  if (typeof value !== 'function') return false
  if (value.name !== 'eval' && !PROTOTYPES.includes(value.prototype)) return false
  globalThis.made = false
  try {
    const result = value(TEXT)
    if (typeof result === 'function') result().next?.()
  } catch {
    return false
  }
  return globalThis.made
}
