/** docs/reference.md: every error code and every event of the log, with meaning and remedy. @module */

import { KMS_ERROR_CODES } from '../src/base/errors.ts'
import { REMEDIES } from '../src/base/remedies.ts'
import { CODES } from '../src/tools/explain/codes.ts'
import { EVENTS } from '../src/tools/explain/events.ts'

export function referencePage(): string {
  const codes = KMS_ERROR_CODES.map((name) => {
    const { status, means } = CODES[name]
    return row([`\`${name}\``, status, means, REMEDIES[name]])
  })
  const events = Object.entries(EVENTS).map(([name, { levels, fields, means, todo = '' }]) =>
    row([
      `\`${name}\``,
      levels.join(', '),
      fields.map((field) => `\`${field}\``).join(', '),
      means,
      todo,
    ]),
  )
  return `# Error codes and events

Generated from \`src/tools/explain\` and \`src/base/remedies.ts\` by \`npm run generate\`. \`trousseau explain NAME\` prints one of them. Messages are in [troubleshooting.md](troubleshooting.md), outages in [operations.md](operations.md), findings of \`doctor\` in [doctor.md](doctor.md).

## Error codes

In logs (\`code\`, \`error_code\`), in metrics, and in \`error.code\` of commands with \`--json\`. The names are stable.

| code | to the API server | what it means | what to do |
| --- | --- | --- | --- |
${codes.join('')}
## Events of the log

\`event\` of each line. Every line has \`time\`, \`level\` and \`message\` too; failures have \`causes\`.

| event | level | further fields | what it means | what to do |
| --- | --- | --- | --- | --- |
${events.join('')}`
}

function row(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`
}
