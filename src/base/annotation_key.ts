/** Annotation keys as kube-apiserver checks them: DNS names of two labels or more (rule E5). @module */

const LABELS =
  /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)+\.?$/
const MAX_CHARACTERS = 253

/** kube-apiserver accepts one dot at the end. */
export function isAnnotationKey(key: string): boolean {
  return key.length <= MAX_CHARACTERS && LABELS.test(key)
}
