/**
 * process.nextTick, which Node calls once for each read of a socket and once
 * for each write, at its own speed. V8 knows the objects that it makes by a
 * hidden class, and a full garbage collection that finds none of them alive
 * drops the class: from then on each takes five times as long, for as long as
 * the process runs. One that stays alive keeps it.
 */
import { executionAsyncResource } from 'node:async_hooks'

const kept: object[] = []

/** Keeps one of them, from the next tick on. Once in a process, before much garbage is made; it can't fail. */
export const keepTicksQuick = (): void => process.nextTick(() => kept.push(executionAsyncResource()))
