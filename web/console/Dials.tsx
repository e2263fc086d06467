// What a search is set by: how the legs are put together, the weight between them, and the two thresholds.

import type { VNode } from 'preact';
import { useContext, useEffect, useState } from 'preact/hooks';
import type { SearchSettings } from '../shared/wire';
import { round } from './Hits';
import { Desk } from './load';
import { Choice } from './ui';

export const FIELDS = ['weight', 'grounded_threshold', 'direct_threshold'] as const;

/** As they go over the wire: without the tail of a number that has no short form. */
export function rounded(settings: SearchSettings): SearchSettings {
  const short = (value: number) => Number(value.toFixed(3));
  return { ...settings, weight: short(settings.weight), grounded_threshold: short(settings.grounded_threshold), direct_threshold: short(settings.direct_threshold) };
}

interface Props {
  /** Whose they are, for who cannot see them. */
  name: string;
  settings: SearchSettings;
  put(settings: SearchSettings): void;
  testid?: string;
}

export function Dials({ name, settings, put, testid = 'set' }: Props): VNode {
  const { say } = useContext(Desk);
  return (
    <>
      <Choice
        label={say.fusion}
        value={settings.fusion}
        options={[['weighted', say.fusions.weighted], ['rrf', say.fusions.rrf]]}
        choose={(fusion) => put({ ...settings, fusion: fusion as 'rrf' })}
        testid={`${testid}-fusion`}
      />
      {FIELDS.map((field) => (
        <Slider
          key={field}
          name={say.settings[field]}
          of={name}
          value={settings[field]}
          idle={field === 'weight' && settings.fusion === 'rrf'}
          put={(value) => put({ ...settings, [field]: value })}
          testid={`${testid}-${field}`}
        />
      ))}
    </>
  );
}

interface SliderProps {
  name: string;
  of: string;
  value: number;
  /** It decides nothing as things are. */
  idle: boolean;
  put(value: number): void;
  testid: string;
}

/** Its number follows the hand; what it sets waits until the hand is off. */
function Slider({ name, of, value, idle, put, testid }: SliderProps): VNode {
  const [held, setHeld] = useState(value);
  useEffect(() => setHeld(value), [value]);
  return (
    <label class="slider">
      <span>{name}</span>
      <input
        type="range"
        min={0}
        max={1}
        step={0.01}
        value={held}
        disabled={idle}
        aria-label={`${of}: ${name}`}
        onInput={(event) => setHeld(Number(event.currentTarget.value))}
        onChange={(event) => put(Number(event.currentTarget.value))}
        data-testid={testid}
      />
      <output>{idle ? '–' : round(held, 2)}</output>
    </label>
  );
}

/** The same to read only. */
export function Set({ settings }: { settings: SearchSettings }): VNode {
  const { say } = useContext(Desk);
  return (
    <dl class="meta">
      <div>
        <dt>{say.fusion}</dt>
        <dd>{say.fusions[settings.fusion]}</dd>
      </div>
      {FIELDS.filter((field) => field !== 'weight' || settings.fusion === 'weighted').map((field) => (
        <div key={field}>
          <dt>{say.settings[field]}</dt>
          <dd>{round(settings[field], 3)}</dd>
        </div>
      ))}
    </dl>
  );
}
