// What models cost, as it is configured: the built-in one is free, another without a price has none set.

import type { ModelState } from '../shared/wire';
import { money } from './time';
import type { Words } from './words';

type Priced = Pick<ModelState, 'id' | 'price_in' | 'price_out' | 'currency'>;

function unpriced(model: Priced, say: Words): string {
  return model.id === 'builtin' ? say.free : model.price_in || model.price_out ? money(0, model.currency) : say.noPrice;
}

/** The price of a million tokens. */
export function priceOf(model: Priced, which: 'price_in' | 'price_out', say: Words): string {
  return model[which] ? `${model.currency} ${model[which]}` : unpriced(model, say);
}

/** What so many tokens of a prompt cost. */
export function promptPrice(model: Priced, tokens: number, say: Words): string {
  return model.price_in ? money((tokens * model.price_in) / 1e6, model.currency) : unpriced(model, say);
}
