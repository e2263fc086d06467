// Small charts: days as bars that stand, the highest labelled; parts of a whole as bars that lie, each with its name
// and number. One hue, from zero. The numbers are in a table below all charts; to a screen reader a chart of days is
// a sentence, one of parts the list that it is.

import type { VNode } from 'preact';
import { useContext } from 'preact/hooks';
import { fill } from '../shared/i18n';
import { Desk } from './load';

export interface Point {
  name: string;
  value: number | null;
}

const WIDTH = 320;
const HEIGHT = 72;

/** Where each bar stands and how high it is; a day without a value has none. */
export function bars(points: Point[], width = WIDTH, height = HEIGHT): { x: number; width: number; height: number; point: Point }[] {
  const most = Math.max(...points.map((point) => point.value ?? 0));
  const step = width / Math.max(1, points.length);
  const thick = Math.min(24, Math.max(1, step * 0.72));
  return points.map((point, i) => ({
    x: i * step + (step - thick) / 2,
    width: thick,
    height: most > 0 && point.value ? Math.max(1, (point.value / most) * height) : 0,
    point,
  }));
}

export function Bars({ name, points, show }: { name: string; points: Point[]; show(value: number): string }): VNode {
  const { say } = useContext(Desk);
  const given = points.filter((point): point is Point & { value: number } => point.value !== null);
  const most = given.reduce<(Point & { value: number }) | undefined>((best, point) => (!best || point.value > best.value ? point : best), undefined);
  // The highest of one is no comparison.
  const alone = given.filter((point) => point.value > 0).length === 1;
  const last = points.at(-1);
  const sentence = most && last ? fill(say.chartSays, { name, day: short(most.name), most: show(most.value), last: last.value === null ? '–' : show(last.value) }) : name;
  return (
    <figure class="card chart">
      <figcaption>
        <strong>{name}</strong>
        {most && most.value > 0 && <span class="quiet small">{fill(alone ? say.onlyOn : say.highest, { value: show(most.value), day: short(most.name) })}</span>}
      </figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT + 1}`} preserveAspectRatio="none" role="img" aria-label={sentence}>
        {bars(points).map(({ x, width, height, point }) => (
          <rect key={point.name} x={x} y={HEIGHT - height} width={width} height={height}>
            <title>{`${point.name}: ${point.value === null ? '–' : show(point.value)}`}</title>
          </rect>
        ))}
        <line x1={0} x2={WIDTH} y1={HEIGHT + 0.5} y2={HEIGHT + 0.5} />
      </svg>
      <p class="axis quiet small" aria-hidden="true">
        <span>{short(points[0]?.name ?? '')}</span>
        <span>{short(last?.name ?? '')}</span>
      </p>
    </figure>
  );
}

/** Parts beside each other, as they come: how far each bar reaches of the longest. */
export function reach(points: Point[]): number[] {
  const most = Math.max(...points.map((point) => point.value ?? 0));
  return points.map(({ value }) => (most > 0 && value ? value / most : 0));
}

export function Lying({ name, points, show }: { name: string; points: Point[]; show(value: number): string }): VNode {
  const shares = reach(points);
  return (
    <figure class="card chart">
      <figcaption><strong>{name}</strong></figcaption>
      <ul class="lying">
        {points.map((point, i) => (
          <li key={point.name}>
            <span>{point.name}</span>
            <span>{point.value === null ? '–' : show(point.value)}</span>
            <span class="track">{shares[i]! > 0 && <span class="bar" style={{ width: `${shares[i]! * 100}%` }} />}</span>
          </li>
        ))}
      </ul>
    </figure>
  );
}

/** Most of these charts in a row, so that none is left alone in the last one. */
export function across(charts: number): number {
  if (charts <= 5) return Math.max(1, charts);
  return charts % 4 === 0 || charts % 3 === 1 ? 4 : 3;
}

/** 2026-11-03 → 11-03 */
function short(day: string): string {
  return day.slice(5);
}
