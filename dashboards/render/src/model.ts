// The parts of a dashboard's JSON that are drawn. Enums come from @grafana/schema, so that tsc refuses wrong ones.
import type { DataTransformerConfig, FieldConfigSource } from '@grafana/data';
import type { GridPos } from '@grafana/schema';

export interface Target {
  refId: string;
  expr: string;
  legendFormat?: string;
  instant?: boolean;
  format?: 'time_series' | 'table' | 'heatmap';
}

export interface PanelModel {
  type: string;
  title: string;
  description?: string;
  gridPos: GridPos;
  targets?: Target[];
  transformations?: DataTransformerConfig[];
  fieldConfig?: FieldConfigSource;
  options?: Record<string, unknown>;
}

export interface DashboardModel {
  title: string;
  uid: string;
  panels: PanelModel[];
  templating: { list: Array<{ name: string; label?: string; type: string }> };
}
