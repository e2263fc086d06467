// /widget/history.js: hands the list of earlier conversations to the panel that loads it.

import type { FunctionComponent } from 'preact';
import { kit } from './borrowed';
import { History } from './view/History';

kit.done(History as FunctionComponent<unknown>);
