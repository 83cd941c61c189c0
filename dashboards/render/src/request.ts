// What a picture shows. It is in the page's address: ?dashboard=rephrase-job&prometheus=http://...&from=...&to=...

export interface Request {
  /** uid of the dashboard; its JSON is at dashboards/UID.json. */
  dashboard: string;
  /** URL of Prometheus, without a slash at the end. */
  prometheus: string;
  /** Time range, in seconds since 1970. Queries at one moment are asked at its end. */
  from: number;
  to: number;
  /** Seconds between scrapes. */
  scrape: number;
  theme: 'light' | 'dark';
  /** Width of the picture in pixels. */
  width: number;
  /** Titles of the rows to draw; what stands above the first is ''. null: all. */
  sections: string[] | null;
  /** Titles of the only panels to draw. null: all. */
  panels: string[] | null;
  /** Titles of panels to leave out. */
  without: string[];
  caption: string;
  /** Values of the dashboard's variables. */
  variables: Record<string, string>;
}

export function readRequest(search: string): Request {
  const given = new URLSearchParams(search);
  const text = (name: string) => {
    const value = given.get(name);
    if (value === null) {
      throw new Error(`the address lacks ${name}`);
    }
    return value;
  };
  const list = (name: string) => given.get(name)?.split('|') ?? null;
  const variables: Record<string, string> = {};
  for (const [name, value] of given) {
    if (name.startsWith('var-')) {
      variables[name.slice('var-'.length)] = value;
    }
  }
  return {
    dashboard: text('dashboard'),
    prometheus: text('prometheus'),
    from: Number(text('from')),
    to: Number(text('to')),
    scrape: Number(text('scrape')),
    theme: text('theme') === 'light' ? 'light' : 'dark',
    width: Number(text('width')),
    sections: list('sections'),
    panels: list('panels'),
    without: list('without') ?? [],
    caption: given.get('caption') ?? '',
    variables,
  };
}

const VARIABLE = /\$(?:\{(\w+)(?:[:.][^}]*)?\}|(\w+))/g;

/** A text with values in place of its variables; unknown ones stay as they are. */
export function filled(text: string, values: Record<string, string>): string {
  return text.replace(VARIABLE, (whole, braced, plain) => values[braced ?? plain] ?? whole);
}
