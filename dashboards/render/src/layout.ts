// Where each panel stands, in pixels, by the grid of the dashboard.
import type { DashboardModel, PanelModel } from './model';
import type { Request } from './request';

const COLUMNS = 24;
const ROW = 30;
const GAP = 8;

export interface Placed {
  panel: PanelModel;
  left: number;
  top: number;
  width: number;
  height: number;
}

/** The panels of the picture. What is left out leaves no gap: its neighbours become wider. */
export function layOut(dashboard: DashboardModel, request: Request): Placed[] {
  const column = (request.width - GAP) / COLUMNS;
  const placed: Placed[] = [];
  let top = 0;
  for (const line of lines(chosen(dashboard, request))) {
    const stretch = COLUMNS / line.reduce((sum, panel) => sum + panel.gridPos.w, 0);
    let x = 0;
    for (const panel of line) {
      const { w, h } = panel.gridPos;
      placed.push({
        panel,
        left: GAP + x * column,
        top: top * (ROW + GAP),
        width: w * stretch * column - GAP,
        height: h * (ROW + GAP) - GAP,
      });
      x += w * stretch;
    }
    top += Math.max(...line.map((panel) => panel.gridPos.h));
  }
  return placed;
}

function chosen(dashboard: DashboardModel, request: Request): PanelModel[] {
  let section = '';
  return dashboard.panels.filter((panel) => {
    section = panel.type === 'row' ? panel.title : section;
    return (
      (!request.sections || request.sections.includes(section)) &&
      (!request.panels || (panel.type !== 'row' && request.panels.includes(panel.title))) &&
      !request.without.includes(panel.title)
    );
  });
}

/** Panels side by side, as many as the grid is wide. */
function lines(panels: PanelModel[]): PanelModel[][] {
  const found: PanelModel[][] = [];
  let used = COLUMNS;
  for (const panel of panels) {
    if (used + panel.gridPos.w > COLUMNS) {
      found.push([]);
      used = 0;
    }
    found[found.length - 1]!.push(panel);
    used += panel.gridPos.w;
  }
  return found;
}
