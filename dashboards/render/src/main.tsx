// Draws one picture and then sets document.title to `ready`, or to what went wrong.
import '@fontsource/inter/latin-400.css';
import '@fontsource/inter/latin-500.css';

import { createTheme, type DataFrame, dateTime, ThemeContext, type TimeRange } from '@grafana/data';
import { GlobalStyles, PanelChrome } from '@grafana/ui';
import { Component, type ReactNode } from 'react';
import { createRoot } from 'react-dom/client';

import { prepare } from './frames';
import { layOut, type Placed } from './layout';
import type { DashboardModel } from './model';
import { ask } from './prometheus';
import { readRequest, type Request } from './request';
import { Visualization } from './visualizations';

const HEADER = 56;
const CAPTION = 34;
const ROW_TITLE = { fontSize: 16, fontWeight: 500, padding: '6px 4px' };

class Failures extends Component<{ children: ReactNode }> {
  componentDidCatch(error: Error) {
    fail(error);
  }
  render() {
    return this.props.children;
  }
}

/** Says what went wrong; the first failure is the cause of the others. */
function fail(error: unknown): void {
  if (!document.title.startsWith('failed')) {
    document.title = `failed: ${error instanceof Error ? error.message : String(error)}`;
  }
}

interface Drawn extends Placed {
  frames: DataFrame[];
}

async function load(request: Request): Promise<{ dashboard: DashboardModel; drawn: Drawn[] }> {
  const theme = createTheme({ colors: { mode: request.theme } });
  const answer = await fetch(`dashboards/${request.dashboard}.json`);
  const dashboard = (await answer.json()) as DashboardModel;
  const drawn: Drawn[] = [];
  for (const placed of layOut(dashboard, request)) {
    const { panel, width } = placed;
    const points = Math.max(10, Math.floor(width));
    const answers = await Promise.all((panel.targets ?? []).map((target) => ask(target, request, points)));
    drawn.push({ ...placed, frames: await prepare(panel, answers.flat(), theme) });
  }
  return { dashboard, drawn };
}

function Picture({ request, dashboard, drawn }: { request: Request; dashboard: DashboardModel; drawn: Drawn[] }) {
  const theme = createTheme({ colors: { mode: request.theme } });
  const range = timeRange(request);
  const top = request.panels ? 8 : HEADER;
  const height = Math.max(...drawn.map((each) => each.top + each.height)) + top + (request.caption ? CAPTION : 8);
  const page = { position: 'relative', width: request.width, height, background: theme.colors.background.canvas } as const;
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <style>{"body { margin: 0 }"}</style>
      <div id="picture" style={page}>
        {!request.panels && <Header request={request} dashboard={dashboard} />}
        {drawn.map(({ panel, left, width, height, frames, ...at }) => (
          <div key={panel.title} style={{ position: 'absolute', left, top: top + at.top, width, height }}>
            {panel.type === 'row' ? (
              <div style={{ ...ROW_TITLE, color: theme.colors.text.primary }}>{panel.title}</div>
            ) : (
              <PanelChrome title={panel.title} width={width} height={height}>
                {(innerWidth, innerHeight) => (
                  <Visualization panel={panel} frames={frames} range={range} width={innerWidth} height={innerHeight} />
                )}
              </PanelChrome>
            )}
          </div>
        ))}
        <div style={{ position: 'absolute', bottom: 8, left: 12, fontSize: 13, color: theme.colors.text.secondary }}>
          {request.caption}
        </div>
      </div>
    </ThemeContext.Provider>
  );
}

function Header({ request, dashboard }: { request: Request; dashboard: DashboardModel }) {
  const theme = createTheme({ colors: { mode: request.theme } });
  const box = {
    border: `1px solid ${theme.colors.border.medium}`,
    borderRadius: 4,
    padding: '4px 10px',
    background: theme.components.input.background,
  };
  const variables = dashboard.templating.list.filter((each) => each.type === 'query');
  return (
    <div style={{ position: 'absolute', top: 12, left: 8, display: 'flex', gap: 16, alignItems: 'center', color: theme.colors.text.primary }}>
      <span style={{ fontSize: 18, fontWeight: 500, marginRight: 12 }}>{dashboard.title}</span>
      {variables.map((each) => (
        <span key={each.name} style={{ fontSize: 12 }}>
          <span style={{ marginRight: 6, color: theme.colors.text.secondary }}>{each.label ?? each.name}</span>
          <span style={box}>{request.variables[each.name] === '.*' ? 'All' : request.variables[each.name]}</span>
        </span>
      ))}
    </div>
  );
}

function timeRange(request: Request): TimeRange {
  const from = dateTime(request.from * 1000);
  const to = dateTime(request.to * 1000);
  return { from, to, raw: { from, to } };
}

async function main(): Promise<void> {
  const request = readRequest(window.location.search);
  const { dashboard, drawn } = await load(request);
  createRoot(document.getElementById('root')!).render(
    <Failures>
      <Picture request={request} dashboard={dashboard} drawn={drawn} />
    </Failures>
  );
  await document.fonts.ready;
  await new Promise((done) => setTimeout(done, 1000));
  const { width, height } = document.getElementById('picture')!.getBoundingClientRect();
  if (!document.title.startsWith('failed')) {
    document.title = `ready ${width} ${Math.ceil(height)}`;
  }
}

main().catch(fail);
