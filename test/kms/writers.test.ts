import * as assert from 'uvu/assert'
import { type Choice, chooseWriters, type Writer, type WriterSet } from '../../src/kms/writers.ts'
import { suite } from '../_lib/uvu.ts'

const RULES = { minimum: 1, holdMs: 60_000, returnMs: 600_000 }
const LONG = 3_600_000

const test = suite('kms/writers', () => ({}))

const well = (id: string, forMs = LONG): Writer => ({
  id,
  asked: true,
  ok: true,
  lost: false,
  forMs,
  mustLeave: false,
})
const away = (id: string, forMs: number): Writer => ({ ...well(id, forMs), ok: false })
const lost = (id: string, forMs = 0): Writer => ({ ...away(id, forMs), lost: true })
const unasked = (id: string): Writer => ({ ...away(id, 0), asked: false })
const leaving = (id: string): Writer => ({ ...well(id), mustLeave: true })

const set = (active: string | undefined, out = ''): WriterSet => ({
  active: active === undefined ? undefined : new Set(active),
  out: new Set(out),
})

interface Case {
  readonly title: string
  readonly writers: readonly Writer[]
  readonly now: WriterSet
  readonly absentMs?: number
  readonly minimum?: number
  readonly verdict: Choice['verdict']
  /** Ids of one letter each, in their order. */
  readonly active?: string
  readonly out?: string
  readonly againInMs?: number
}

const CASES: readonly Case[] = [
  {
    title: 'all that are well at the start write at once',
    writers: [well('a', 0), well('b', 0)],
    now: set(undefined),
    verdict: 'settled',
    active: 'ab',
  },
  {
    title: 'at the start the hold time is waited for one that is away',
    writers: [well('a', 0), away('b', 0)],
    now: set(undefined),
    absentMs: 59_999,
    verdict: 'starting',
    againInMs: 1,
  },
  {
    title: 'after the hold time the others start without it',
    writers: [well('a'), away('b', 60_000)],
    now: set(undefined),
    absentMs: 60_000,
    verdict: 'settled',
    active: 'a',
    out: 'b',
  },
  {
    title: 'one whose key is lost is not waited for at the start',
    writers: [well('a', 0), lost('b')],
    now: set(undefined),
    verdict: 'settled',
    active: 'a',
    out: 'b',
  },
  {
    title: 'nothing starts before each was asked',
    writers: [well('a', 0), unasked('b')],
    now: set(undefined),
    absentMs: LONG,
    verdict: 'starting',
  },
  {
    title: 'nothing starts with fewer than the minimum',
    writers: [well('a'), away('b', LONG)],
    now: set(undefined),
    absentMs: LONG,
    minimum: 2,
    verdict: 'starting',
  },
  {
    title: 'one that is away shortly changes nothing',
    writers: [well('a'), away('b', 59_000)],
    now: set('ab'),
    verdict: 'waiting',
    active: 'ab',
    againInMs: 1_000,
  },
  {
    title: 'one that is away for the hold time is left out',
    writers: [well('a'), away('b', 60_000)],
    now: set('ab'),
    verdict: 'settled',
    active: 'a',
    out: 'b',
  },
  {
    title: 'one whose key is lost is left out at once',
    writers: [well('a'), lost('b')],
    now: set('ab'),
    verdict: 'settled',
    active: 'a',
    out: 'b',
  },
  {
    title: 'when one leaves, another that is away at that moment leaves too',
    writers: [well('a'), away('b', 60_000), away('c', 1)],
    now: set('abc'),
    verdict: 'settled',
    active: 'a',
    out: 'bc',
  },
  {
    title: 'fewer than the minimum wait for longer',
    writers: [well('a'), away('b', LONG)],
    now: set('ab'),
    minimum: 2,
    verdict: 'waiting',
    active: 'ab',
  },
  {
    title: 'a lost key ends writing where fewer than the minimum are left',
    writers: [well('a'), lost('b')],
    now: set('ab'),
    minimum: 2,
    verdict: 'lost',
  },
  {
    title: 'all away wait',
    writers: [away('a', LONG), away('b', LONG)],
    now: set('ab'),
    verdict: 'waiting',
    active: 'ab',
  },
  {
    title: 'one that was left out does not return before its time',
    writers: [well('a'), well('b', 599_000)],
    now: set('a', 'b'),
    verdict: 'settled',
    active: 'a',
    out: 'b',
    againInMs: 1_000,
  },
  {
    title: 'one that was left out returns after its time',
    writers: [well('a'), well('b', 600_000)],
    now: set('a', 'b'),
    verdict: 'settled',
    active: 'ab',
  },
  {
    title: 'one that was left out is taken back early where nobody else is there',
    writers: [away('a', 60_000), well('b', 1_000)],
    now: set('a', 'b'),
    verdict: 'settled',
    active: 'b',
    out: 'a',
  },
  {
    title: 'a new one joins with its first answer',
    writers: [well('a'), well('b', 0)],
    now: set('a'),
    verdict: 'settled',
    active: 'ab',
  },
  {
    title: 'a new one that was not asked yet is not left out for it',
    writers: [well('a'), unasked('b')],
    now: set('a'),
    verdict: 'settled',
    active: 'a',
    out: '',
  },
  {
    title: 'one that was left out stays so over a restart until it was asked',
    writers: [well('a'), unasked('b')],
    now: set('a', 'b'),
    verdict: 'settled',
    active: 'a',
    out: 'b',
  },
  {
    title: 'nobody joins while another one is away shortly',
    writers: [well('a'), away('b', 1_000), well('c', LONG)],
    now: set('ab', 'c'),
    verdict: 'waiting',
    active: 'ab',
    out: 'c',
    againInMs: 59_000,
  },
  {
    title: 'one that is only read from now on leaves at once',
    writers: [well('a')],
    now: set('ab'),
    verdict: 'settled',
    active: 'a',
    out: '',
  },
  {
    title: 'a version that may not encrypt is left at once, and who is away with it',
    writers: [leaving('a'), away('b', 1_000)],
    now: set('ab'),
    verdict: 'settled',
    active: 'a',
    out: 'b',
  },
]

const sorted = (ids: ReadonlySet<string>) => [...ids].toSorted((a, b) => (a < b ? -1 : 1)).join('')

for (const each of CASES) {
  test(each.title, () => {
    const { writers, now, absentMs = 0, minimum = 1, verdict, active, out, againInMs } = each

    const choice = chooseWriters(writers, now, absentMs, { ...RULES, minimum })

    assert.is(choice.verdict, verdict)
    assert.is(choice.active && sorted(choice.active), active)
    if (out !== undefined) assert.is(sorted(choice.out), out)
    if (againInMs !== undefined) assert.is(choice.againInMs, againInMs)
  })
}

test.run()
