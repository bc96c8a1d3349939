/** Fits lines to what was measured. @module */

export interface Point {
  readonly x: number
  readonly y: number
}

export interface Slope {
  /** Of y for each one of x, by least squares. */
  readonly slope: number
  /** Its standard error: a slope within two of them of 0 is none. */
  readonly error: number
}

/** `NaN` of fewer than two points, and the error of fewer than three. */
export function slopeOf(points: readonly Point[]): Slope {
  const mean = (values: readonly number[]) =>
    values.reduce((sum, value) => sum + value, 0) / values.length
  const middle = { x: mean(points.map(({ x }) => x)), y: mean(points.map(({ y }) => y)) }
  const sum = (of: (dx: number, dy: number) => number) =>
    points.reduce((total, { x, y }) => total + of(x - middle.x, y - middle.y), 0)
  const spread = sum((dx) => dx * dx)
  const slope = sum((dx, dy) => dx * dy) / spread
  const rest = sum((dx, dy) => (dy - slope * dx) ** 2)
  return { slope, error: Math.sqrt(rest / (points.length - 2) / spread) }
}
