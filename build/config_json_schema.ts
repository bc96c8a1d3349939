export function configJsonSchema(): unknown {
  return {}
}
