/** Text made of lines: manifests are read by people, so they are written with comments. @module */

/** A file of a manifest. */
export interface ManifestFile {
  /** Where it goes, relative to a folder of the operator's choice. */
  readonly path: string
  readonly text: string
}

export function indent(text: string, by: number): string {
  return text.replaceAll(/^(?=.)/gm, ' '.repeat(by))
}

/** A YAML string; JSON's are. */
export function quoted(text: string): string {
  return JSON.stringify(text)
}

/** Each line a comment. */
export function comment(text: string): string {
  return text
    .trim()
    .split('\n')
    .map((line) => (line === '' ? '#' : `# ${line}`))
    .join('\n')
}
