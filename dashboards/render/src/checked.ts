// The types that the dashboards' JSON is held to: Grafana's schema, with texts in the place of its enums.
// check.mjs writes each dashboard as a module that must satisfy `Checked`, so tsc refuses what Grafana has no name for.
import type { Dashboard, FieldConfig, Panel, VariableModel } from '@grafana/schema';
import type { Options as StatOptions } from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type {
  FieldConfig as TableFieldConfig,
  Options as TableOptions,
} from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type {
  FieldConfig as TimeSeriesFieldConfig,
  Options as TimeSeriesOptions,
} from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

type Plain<T> = unknown extends T
  ? unknown
  : T extends string
    ? `${T}`
    : T extends Array<infer Element>
      ? Array<Plain<Element>>
      : T extends object
        ? { [Key in keyof T]?: Plain<T[Key]> | null }
        : T;

type Fields<Custom> = {
  defaults: Plain<Omit<FieldConfig, 'custom'>> & { custom?: Plain<Custom> };
  overrides: Array<{
    matcher: { id: 'byName' | 'byRegexp'; options: string };
    properties: Array<{ id: `custom.${keyof Custom & string}` | keyof FieldConfig; value?: unknown }>;
  }>;
};

type Common = Omit<Plain<Panel>, 'type' | 'options' | 'fieldConfig'>;

type CheckedPanel =
  | (Common & { type: 'timeseries'; options: Plain<TimeSeriesOptions>; fieldConfig: Fields<TimeSeriesFieldConfig> })
  | (Common & { type: 'stat'; options: Plain<StatOptions>; fieldConfig: Fields<object> })
  | (Common & { type: 'table'; options: Plain<TableOptions> & OfOldTables; fieldConfig?: Fields<TableFieldConfig> })
  | { type: 'row'; title: string; collapsed: boolean; id: number; panels: []; gridPos: Plain<Panel['gridPos']> };

/** Written by the builders of Grafana 10, and read over by newer ones. */
type OfOldDashboards = { style?: string };
type OfOldTables = { footer?: unknown };
type OfOldVariables = { id?: string; auto?: boolean; auto_count?: number; auto_min?: string };

export type Checked = Omit<Plain<Dashboard>, 'panels' | 'templating'> &
  OfOldDashboards & {
    panels: CheckedPanel[];
    templating: { list: Array<Plain<VariableModel> & OfOldVariables> };
  };
