/**
 * What a history consists of: plain values, so that it can be printed, shrunk and run again. Every
 * subset of a history's steps is a history too, since all faults end by themselves at its end.
 *
 * @module
 */

/** What the bytes on the way to a key service suffer. */
export const WIRE_FAULTS = [
  'latency',
  'jitter',
  'reset',
  'refused',
  'half-open',
  'corrupt',
  'doubled',
  'trickle',
  'cut',
] as const
/** What its certificate or handshake suffers; over TLS alone. */
export const TLS_FAULTS = ['other authority', 'ended certificate', 'garbage', 'silent'] as const
/** What its answers suffer. */
export const ANSWER_FAULTS = [
  'swapped items',
  'fewer items',
  'another key',
  'another request',
  'out of order',
  'stale',
  'twice',
  'late',
  'status 400',
  'status 401',
  'status 403',
  'status 404',
  'status 429',
  'status 500',
  'status 502',
  'status 503',
  'sealed',
  'page',
] as const
export const FILE_FAULTS = [
  'socket vanished',
  'folder replaced',
  'folder closed',
  'config half written',
  'config gone',
  'config link swapped',
  'secret id half written',
  'secret id gone',
  'secret id destroyed',
  'authority half written',
  'state damaged',
] as const
/** What only a process can suffer. */
export const PROCESS_FAULTS = ['killed', 'frozen', 'no descriptors', 'disk full'] as const

export type WireFault = (typeof WIRE_FAULTS)[number]
export type TlsFault = (typeof TLS_FAULTS)[number]
export type AnswerFault = (typeof ANSWER_FAULTS)[number]
export type FileFault = (typeof FILE_FAULTS)[number]
type ProcessFault = (typeof PROCESS_FAULTS)[number]

/** The key services that a proxy stands before. */
export const SERVICES = ['one', 'two'] as const
export type Service = (typeof SERVICES)[number]

/** How plaintexts are spread. */
export const VARIANTS = ['single', 'any', 'threshold'] as const
export type Variant = (typeof VARIANTS)[number]

/** A fault of the way to a service; it strikes each chunk or answer with this chance, of 100. */
interface OnTheWay<T> {
  readonly on: Service
  readonly fault: T
  readonly chance: number
  readonly seed: number
}

export type Step =
  | { readonly do: 'encrypt'; readonly api: 'v1' | 'v2'; readonly count: number }
  | { readonly do: 'decrypt'; readonly count: number; readonly pick: number }
  | { readonly do: 'status' }
  /** Status, Encrypt, Status, each after the other: they must agree. */
  | { readonly do: 'agree' }
  | { readonly do: 'pause'; readonly ms: number }
  | { readonly do: 'rotate'; readonly on: Service }
  | { readonly do: 'revoke' }
  | { readonly do: 'reload'; readonly variant: Variant; readonly signal: boolean }
  | { readonly do: 'restart' }
  | { readonly do: 'clock'; readonly jumpMs: number }
  | ({ readonly do: 'wire' } & OnTheWay<WireFault>)
  | ({ readonly do: 'tls' } & OnTheWay<TlsFault>)
  | ({ readonly do: 'answer' } & OnTheWay<AnswerFault>)
  | { readonly do: 'heal'; readonly on: Service }
  | { readonly do: 'file'; readonly fault: FileFault }
  | { readonly do: 'mend'; readonly fault: 'files' }
  | { readonly do: 'process'; readonly fault: ProcessFault; readonly ms: number }

export interface History {
  readonly seed: number
  /** Whether the plugin runs in the tests' process, or is the built bundle. */
  readonly kind: 'here' | 'process'
  /** One provider, or three whose protection changes. */
  readonly world: 'one' | 'spread'
  readonly tls: boolean
  readonly variant: Variant
  readonly activationDelayMs: number
  readonly steps: readonly Step[]
}

/** The kind of fault that a step begins, for figures; undefined for another step. */
export function faultOf(step: Step): string | undefined {
  switch (step.do) {
    case 'wire':
    case 'tls':
    case 'answer':
    case 'file':
    case 'process':
      return `${step.do}: ${step.fault}`
    case 'clock':
      return `clock: ${step.jumpMs > 0 ? 'forth' : 'back'}`
    case 'rotate':
    case 'revoke':
    case 'reload':
    case 'restart':
      return `operator: ${step.do}`
    default:
      return undefined
  }
}
