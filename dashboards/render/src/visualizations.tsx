// The panels' bodies, each a component of @grafana/ui.
import {
  type DataFrame,
  type FieldConfigSource,
  type FieldDisplay,
  FieldType,
  getDisplayProcessor,
  getDisplayValueAlignmentFactors,
  getFieldDisplayValues,
  type GrafanaTheme2,
  type ReduceDataOptions,
  type TimeRange,
  VizOrientation,
} from '@grafana/data';
import {
  BarGauge,
  BarGaugeDisplayMode,
  BigValue,
  BigValueColorMode,
  BigValueGraphMode,
  BigValueTextMode,
  LegendDisplayMode,
  type TableSortByFieldState,
  TimeSeries,
  useTheme2,
  type VizLegendOptions,
  VizRepeater,
} from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import type { ReactNode } from 'react';

import type { PanelModel } from './model';

interface Props {
  panel: PanelModel;
  frames: DataFrame[];
  range: TimeRange;
  width: number;
  height: number;
}

type Drawing = (props: Props) => ReactNode;

const DRAWINGS: Record<string, Drawing> = {
  timeseries: Lines,
  stat: Numbers,
  bargauge: Bars,
  table: Listing,
};

export function Visualization(props: Props): ReactNode {
  const Drawn = DRAWINGS[props.panel.type];
  if (!Drawn) {
    throw new Error(`${props.panel.title}: there is no drawing for panels of type ${props.panel.type}`);
  }
  if (!props.frames.some(hasNumber)) {
    throw new Error(`${props.panel.title}: there is no data`);
  }
  return <Drawn {...props} />;
}

function hasNumber(frame: DataFrame): boolean {
  return frame.fields.some((field) => field.type !== FieldType.time && field.values.some((value) => value !== null));
}

function Lines({ panel, frames, range, width, height }: Props): ReactNode {
  const asked = (panel.options?.legend ?? {}) as Partial<VizLegendOptions>;
  const legend: VizLegendOptions = {
    displayMode: LegendDisplayMode.List,
    placement: 'bottom',
    showLegend: true,
    calcs: [],
    ...asked,
  };
  return (
    <TimeSeries
      frames={frames}
      width={width}
      height={height}
      timeRange={range}
      timeZone="utc"
      legend={legend}
      options={{}}
    />
  );
}

function displayValues({ panel, frames }: Props, theme: GrafanaTheme2, sparkline: boolean): FieldDisplay[] {
  return getFieldDisplayValues({
    data: frames,
    reduceOptions: { calcs: ['lastNotNull'], ...(panel.options?.reduceOptions as Partial<ReduceDataOptions>) },
    fieldConfig: panel.fieldConfig as FieldConfigSource,
    replaceVariables: (text) => text,
    theme,
    sparkline,
    timeZone: 'utc',
  });
}

function Numbers(props: Props): ReactNode {
  const theme = useTheme2();
  const options = props.panel.options ?? {};
  const graphMode = (options.graphMode ?? BigValueGraphMode.None) as BigValueGraphMode;
  const values = displayValues(props, theme, graphMode !== BigValueGraphMode.None);
  return (
    <VizRepeater
      width={props.width}
      height={props.height}
      source={props.frames}
      renderCounter={0}
      autoGrid
      orientation={VizOrientation.Auto}
      getValues={() => values}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={({ value, width, height, count, alignmentFactors }) => (
        <BigValue
          value={value.display}
          count={count}
          sparkline={value.sparkline && { ...value.sparkline, timeRange: props.range }}
          colorMode={(options.colorMode ?? BigValueColorMode.Value) as BigValueColorMode}
          graphMode={graphMode}
          textMode={(options.textMode ?? BigValueTextMode.Auto) as BigValueTextMode}
          alignmentFactors={alignmentFactors}
          width={width}
          height={height}
          theme={theme}
        />
      )}
    />
  );
}

function Bars(props: Props): ReactNode {
  const theme = useTheme2();
  const values = displayValues(props, theme, false);
  return (
    <VizRepeater
      width={props.width}
      height={props.height}
      source={props.frames}
      renderCounter={0}
      itemSpacing={8}
      minVizHeight={16}
      maxVizHeight={300}
      orientation={VizOrientation.Horizontal}
      getValues={() => values}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={({ value, width, height, orientation, alignmentFactors }) => (
        <BarGauge
          value={value.display}
          field={value.field}
          display={value.view?.getFieldDisplayProcessor(value.colIndex ?? 0)}
          width={width}
          height={height}
          orientation={orientation}
          theme={theme}
          displayMode={(props.panel.options?.displayMode ?? BarGaugeDisplayMode.Basic) as BarGaugeDisplayMode}
          showUnfilled
          alignmentFactors={alignmentFactors}
        />
      )}
    />
  );
}

function Listing({ panel, frames, range, width, height }: Props): ReactNode {
  const theme = useTheme2();
  const [frame] = frames;
  for (const field of frame!.fields) {
    field.display ??= getDisplayProcessor({ field, theme, timeZone: 'utc' });
    if (field.type === FieldType.string && !field.config.links) {
      field.config.links = undefined;
    }
  }
  return (
    <TableNG
      data={frame!}
      width={width}
      height={height}
      timeRange={range}
      sortBy={panel.options?.sortBy as TableSortByFieldState[] | undefined}
      fieldConfig={panel.fieldConfig}
      enableVirtualization={false}
    />
  );
}
