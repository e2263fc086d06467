// /widget/sheets.js: what slides over the conversation, the menu, and what was wrong with an answer. None
// of it is needed to open the panel, so it comes with the first question, or when it is wanted.

import { kit } from './borrowed';
import css from './sheets.css?inline';
import { History } from './view/History';
import { Menu } from './view/Menu';
import { Reasons } from './view/Reasons';
import { Sheet } from './view/Sheet';

kit.done({ History, Sheet, Reasons, Menu, css });
