// /widget/sheets.js: what slides over the conversation. Few visits open one, so it comes when it is wanted.

import { kit } from './borrowed';
import css from './sheets.css?inline';
import { History } from './view/History';
import { Sheet } from './view/Sheet';

kit.done({ History, Sheet, css });
