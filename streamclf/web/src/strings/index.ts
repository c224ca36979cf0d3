// Every text of the page is in this folder. To translate it, translate the folder.

import { events, rules, why } from "./events";
import { review } from "./review";
import { connection, login, now, shell, views } from "./shell";
import { listening, live, microphone } from "./sound";
import { species } from "./species";
import { streams } from "./streams";
import { teach } from "./teach";
import { tooMany } from "./thresholds";
import { locale } from "./words";

export const t = { locale, views, shell, connection, now, live, events, why, rules, streams, login, microphone, listening, tooMany, teach, review, species };
