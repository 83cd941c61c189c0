// Asks Prometheus and makes data frames of its answers, in the shape of Grafana's own data source.
import { type DataFrame, type Labels, FieldType } from '@grafana/data';

import type { Target } from './model';
import { filled, type Request } from './request';

interface Series {
  metric: Record<string, string>;
  values?: Array<[number, string]>;
  value?: [number, string];
}

/** Frames of one query, over the time range or at its end. */
export async function ask(target: Target, request: Request, points: number): Promise<DataFrame[]> {
  const step = Math.max(request.scrape, Math.ceil((request.to - request.from) / points));
  const interval = Math.max(step + request.scrape, 4 * request.scrape);
  const expr = filled(target.expr, { ...request.variables, __rate_interval: `${interval}s` });
  const parameters = new URLSearchParams({ query: expr });
  if (target.instant) {
    parameters.set('time', String(request.to));
  } else {
    parameters.set('start', String(request.from));
    parameters.set('end', String(request.to));
    parameters.set('step', String(step));
  }
  const url = `${request.prometheus}/api/v1/${target.instant ? 'query' : 'query_range'}`;
  const answer = await fetch(url, { method: 'POST', body: parameters });
  const body = await answer.json();
  if (body.status !== 'success') {
    throw new Error(`${expr}: ${body.error}`);
  }
  const series = body.data.result as Series[];
  return target.format === 'table' ? [table(series, target)] : series.map((each) => frame(each, target, request, step));
}

function frame(series: Series, target: Target, request: Request, step: number): DataFrame {
  const { __name__: _, ...labels } = series.metric;
  const found = new Map((series.values ?? [series.value!]).map(([time, value]) => [Math.round(time), number(value)]));
  // A moment without a value is a gap in the line.
  const times: number[] = [];
  if (target.instant) {
    times.push(...found.keys());
  } else {
    for (let time = request.from; time <= request.to; time += step) {
      times.push(time);
    }
  }
  const name = legend(target, labels);
  return {
    refId: target.refId,
    name,
    length: times.length,
    fields: [
      { name: 'Time', type: FieldType.time, config: {}, values: times.map((time) => time * 1000) },
      {
        name: 'Value',
        type: FieldType.number,
        config: name ? { displayNameFromDS: name } : {},
        labels,
        values: times.map((time) => found.get(Math.round(time)) ?? null),
      },
    ],
  };
}

/** NaN is no value, as in Grafana: one of them would keep the whole panel from being drawn. */
function number(text: string): number | null {
  const value = Number(text);
  return Number.isFinite(value) ? value : null;
}

function table(series: Series[], target: Target): DataFrame {
  const names = [...new Set(series.flatMap((each) => Object.keys(each.metric)))].filter((name) => name !== '__name__');
  const labels = names.map((name) => ({
    name,
    type: FieldType.string,
    config: {},
    values: series.map((each) => each.metric[name] ?? ''),
  }));
  return {
    refId: target.refId,
    length: series.length,
    fields: [
      { name: 'Time', type: FieldType.time, config: {}, values: series.map((each) => each.value![0] * 1000) },
      ...labels,
      {
        name: 'Value',
        type: FieldType.number,
        config: {},
        values: series.map((each) => number(each.value![1])),
      },
    ],
  };
}

function legend(target: Target, labels: Labels): string {
  return (target.legendFormat ?? '').replace(/\{\{\s*(\w+)\s*\}\}/g, (_, name) => labels[name] ?? '');
}
