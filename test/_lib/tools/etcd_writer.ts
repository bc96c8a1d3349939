/** Fills a real etcd faster than its own command line does, and with what that cannot do. @module */

import { Buffer } from 'node:buffer'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { connectEtcd, type EtcdTls } from '../../../src/tools/etcd/client.ts'

const PLAIN: EtcdTls = { ca: undefined, client: undefined, serverName: undefined }

export interface EtcdWriter extends AsyncDisposable {
  put(key: string, value: Uint8Array): Promise<void>
  /** All at one revision. */
  putTogether(entries: readonly (readonly [string, Uint8Array])[]): Promise<void>
  delete(key: string): Promise<void>
  /** Forgets everything that was replaced or deleted before a revision. */
  compact(revision: number): Promise<void>
  defragment(): Promise<void>
}

export function etcdWriter(endpoint: string, tls = PLAIN): EtcdWriter {
  const limits = { timeoutMs: 60_000, maxMessageBytes: 2 ** 20 }
  const client = connectEtcd({ endpoints: [endpoint], tls, ...limits })
  const call = async (path: string, message: BinaryWriter) => {
    const answer = await client.call(`/etcdserverpb.${path}`, message.finish())
    if (!(answer instanceof Uint8Array)) throw new Error(`${path}: ${answer.status}`)
  }
  return {
    put: (key, value) => call('KV/Put', putRequest(key, value)),
    putTogether(entries) {
      const success = 2
      const requestPut = 2
      const txn = new BinaryWriter()
      for (const [key, value] of entries) {
        const operation = bytesField(
          new BinaryWriter(),
          requestPut,
          putRequest(key, value).finish(),
        )
        bytesField(txn, success, operation.finish())
      }
      return call('KV/Txn', txn)
    },
    delete: (key) => call('KV/DeleteRange', bytesField(new BinaryWriter(), 1, Buffer.from(key))),
    compact: (revision) =>
      // The second field: only when it is done.
      call(
        'KV/Compact',
        new BinaryWriter()
          .tag(1, WireType.Varint)
          .int64(revision)
          .tag(2, WireType.Varint)
          .bool(true),
      ),
    defragment: () => call('Maintenance/Defragment', new BinaryWriter()),
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  }
}

function putRequest(key: string, value: Uint8Array): BinaryWriter {
  return bytesField(bytesField(new BinaryWriter(), 1, Buffer.from(key)), 2, value)
}

function bytesField(to: BinaryWriter, field: number, content: Uint8Array): BinaryWriter {
  return to.tag(field, WireType.LengthDelimited).bytes(content)
}
