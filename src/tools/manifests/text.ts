/** Text made of lines. People read manifests, so they are written with comments. @module */

/** One file of a manifest. */
export interface ManifestFile {
  /** The path relative to a folder that the operator chooses. */
  readonly path: string
  readonly text: string
}

export function indent(text: string, by: number): string {
  return text.replaceAll(/^(?=.)/gm, ' '.repeat(by))
}

/** A string in YAML, which accepts the strings of JSON. */
export function quoted(text: string): string {
  return JSON.stringify(text)
}

/** Makes each line a comment. */
export function comment(text: string): string {
  return text
    .trim()
    .split('\n')
    .map((line) => (line === '' ? '#' : `# ${line}`))
    .join('\n')
}
