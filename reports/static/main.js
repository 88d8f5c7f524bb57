/* The start: words and tables first, and the charts once Plotly, the last script of the page, is read. */
import { startCurves } from "./curves.js";
import { startErrors } from "./errors.js";
import { startFilters } from "./filters.js";
import { startForest } from "./forest.js";
import { startHistory } from "./history.js";
import { startPlots } from "./plots.js";
import { startRecords } from "./records.js";
import { startRoofline } from "./roofline.js";
import { startSupport } from "./support.js";
import { followAddress, readAddress, update } from "./view.js";
import { startWinners } from "./winners.js";

readAddress();
startFilters();
startWinners();
startErrors();
startSupport();
startRecords();
update({ address: false });
window.addEventListener("hashchange", followAddress);

document.addEventListener("DOMContentLoaded", () => {
  startCurves();
  startRoofline();
  startForest();
  startHistory();
  startPlots();
  update({ address: false });
  document.documentElement.dataset.ready = "yes";
});
