/**
 * Writes the files that are generated: the TypeScript of `proto/`, the config's JSON Schema and the
 * man page, and what is made of the table of metrics. With `--check` it writes nothing, and fails when a checked-in file differs.
 *
 * @module
 */

import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { configJsonSchema } from './config_json_schema.ts'
import { manPage } from './man_page.ts'
import { metricsSection, monitoringFiles } from './monitoring/files.ts'
import { referencePage } from './reference_page.ts'

const GENERATED_FROM_PROTO = {
  'v2/api_pb.ts': 'src/grpc/v2_pb.ts',
  'v1beta1/api_pb.ts': 'src/grpc/v1beta1_pb.ts',
  'spiffe/workload_pb.ts': 'src/grpc/spiffe_pb.ts',
  'externaljwt/api_pb.ts': 'src/grpc/externaljwt_pb.ts',
  'trousseau/v1/envelope_pb.ts': 'src/kms/envelope_pb.ts',
  'apiserver/encrypted_object_pb.ts': 'src/tools/etcd/encrypted_object_pb.ts',
  'etcd/range_pb.ts': 'src/tools/etcd/range_pb.ts',
  'kubernetes/core_pb.ts': 'src/tools/etcd/core_pb.ts',
} as const

const files = new Map<string, string>([
  ...(await fromProto()),
  ['src/config/config.schema.json', `${JSON.stringify(configJsonSchema(), null, 2)}\n`],
  ['docs/trousseau.1', manPage()],
  ...monitoringFiles(),
  ['docs/observability.md', await withSection('docs/observability.md', metricsSection())],
  ['docs/reference.md', referencePage()],
])

const check = process.argv.includes('--check')
for (const [path, text] of files) {
  const current = await readFile(path, 'utf8').catch(() => undefined)
  if (current === text) continue
  if (check) {
    process.stderr.write(`${path} is out of date: run npm run generate\n`)
    process.exitCode = 1
  } else {
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, text)
    process.stdout.write(`wrote ${path}\n`)
  }
}

/** The page with another text between its two marks. */
async function withSection(path: string, text: string): Promise<string> {
  const page = await readFile(path, 'utf8')
  const parts = /^([\s\S]*<!-- metrics: .* -->\n)[\s\S]*(<!-- end of metrics -->\n[\s\S]*)$/.exec(
    page,
  )
  if (parts === null) throw new Error(`${path} has no marks around its metrics`)
  return `${parts[1]}\n${text}\n\n${parts[2]}`
}

async function fromProto(): Promise<[string, string][]> {
  const out = await mkdtemp(join(tmpdir(), 'trousseau-generate-'))
  try {
    const template = {
      version: 'v2',
      plugins: [
        {
          local: join('node_modules', '.bin', 'protoc-gen-es'),
          out,
          opt: ['target=ts', 'import_extension=ts', 'erasable_syntax=true'],
        },
      ],
      inputs: [{ directory: 'proto' }],
    }
    execFileSync(join('node_modules', '.bin', 'buf'), [
      'generate',
      '--template',
      JSON.stringify(template),
    ])
    return await Promise.all(
      Object.entries(GENERATED_FROM_PROTO).map(
        async ([from, to]): Promise<[string, string]> => [
          to,
          await readFile(join(out, from), 'utf8'),
        ],
      ),
    )
  } finally {
    await rm(out, { recursive: true })
  }
}
