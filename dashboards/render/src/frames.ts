// What Grafana does between the data source and the panel: transformations, then units, colours and overrides.
import {
  applyFieldOverrides,
  cacheFieldDisplayNames,
  type DataFrame,
  type FieldConfigPropertyItem,
  FieldConfigOptionsRegistry,
  type GrafanaTheme2,
  standardTransformers,
  standardTransformersRegistry,
  transformDataFrame,
} from '@grafana/data';
import { lastValueFrom } from 'rxjs';

import type { PanelModel } from './model';

const STANDARD = [
  'unit', 'decimals', 'min', 'max', 'displayName', 'color', 'thresholds', 'mappings', 'links', 'noValue',
]; // prettier-ignore
const CUSTOM = [
  'drawStyle', 'lineWidth', 'lineInterpolation', 'lineStyle', 'fillOpacity', 'gradientMode', 'showPoints',
  'pointSize', 'stacking', 'spanNulls', 'axisPlacement', 'axisLabel', 'axisSoftMax', 'thresholdsStyle', 'hideFrom',
  'scaleDistribution', 'cellOptions', 'width', 'align', 'inspect', 'filterable',
]; // prettier-ignore

/** Which properties of a field there are. Grafana's own list is in its application and not in its packages. */
const registry = new FieldConfigOptionsRegistry(() => [
  ...STANDARD.map((path) => property(path, path, false)),
  ...CUSTOM.map((path) => property(`custom.${path}`, path, true)),
]);

function property(id: string, path: string, isCustom: boolean): FieldConfigPropertyItem {
  const nothing = () => null;
  return {
    id,
    path,
    isCustom,
    name: id,
    editor: nothing,
    override: nothing,
    process: (value) => value,
    shouldApply: () => true,
  };
}

standardTransformersRegistry.setInit(() =>
  [standardTransformers.mergeTransformer, standardTransformers.organizeFieldsTransformer].map((transformation) => ({
    id: transformation.id,
    name: transformation.name,
    transformation: async () => transformation,
    imageDark: '',
    imageLight: '',
    editor: () => null,
  }))
);

export async function prepare(panel: PanelModel, frames: DataFrame[], theme: GrafanaTheme2): Promise<DataFrame[]> {
  // Grafana's data source names the values of several tables by their queries.
  const tables = (panel.targets ?? []).filter((target) => target.format === 'table');
  if (tables.length > 1) {
    for (const frame of frames) {
      for (const field of frame.fields) {
        field.name = field.name === 'Value' ? `Value #${frame.refId}` : field.name;
      }
    }
  }
  const transformed = panel.transformations?.length
    ? await lastValueFrom(transformDataFrame(panel.transformations, frames))
    : frames;
  const prepared = applyFieldOverrides({
    data: transformed,
    fieldConfig: panel.fieldConfig ?? { defaults: {}, overrides: [] },
    fieldConfigRegistry: registry,
    replaceVariables: (text) => text,
    theme,
    timeZone: 'utc',
  });
  cacheFieldDisplayNames(prepared);
  return prepared;
}
