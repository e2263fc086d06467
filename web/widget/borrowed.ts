// Preact as `lend.ts` hands it over. The build puts this file where a script that is loaded after the
// panel imports `preact` and `preact/hooks`.

import type { LoadedScript } from './host';
import type { Kit } from './lend';

export const kit = (document.currentScript as LoadedScript<Kit> | null)?.mc as Kit;
export const { h, Fragment, useEffect, useRef, useState } = kit;
