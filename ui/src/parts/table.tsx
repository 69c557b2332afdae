/** A table that is sorted, filtered, and drawn only where it is seen: for thousands of rows. */

import {
  columnFilteringFeature,
  createFilteredRowModel,
  createSortedRowModel,
  globalFilteringFeature,
  rowSortingFeature,
  tableFeatures,
  useTable,
  type ColumnDef,
  type SortingState,
} from "@tanstack/preact-table";
import { Virtualizer, elementScroll, observeElementOffset, observeElementRect } from "@tanstack/virtual-core";
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { isNumber, number, plural } from "../format";
import { clean, named, Said } from "../text";

const ROW_PIXELS = 33;
const MOST_PIXELS = 430;

const features = tableFeatures({
  rowSortingFeature,
  columnFilteringFeature,
  globalFilteringFeature,
  sortedRowModel: createSortedRowModel(),
  filteredRowModel: createFilteredRowModel(),
});

export interface Column<Row> {
  id: string;
  title: string;
  /** What is sorted and searched by; nothing sorts last. */
  value: (row: Row) => string | number | null | undefined;
  cell?: (row: Row) => ComponentChildren;
  numeric?: boolean;
}

export interface DataTableProps<Row> {
  label: string;
  rows: Row[];
  columns: Column<Row>[];
  rowKey: (row: Row, at: number) => string;
  /** What a row is called, for the count: "trial". */
  noun: string;
  sortedBy?: { id: string; desc: boolean };
  tools?: ComponentChildren;
  rowClass?: (row: Row) => string | undefined;
}

type Value = string | number | undefined;

function compare(one: Value, other: Value): number {
  if (isNumber(one) && isNumber(other)) {
    return one - other;
  }
  return String(one).localeCompare(String(other), undefined, { numeric: true });
}

export function DataTable<Row extends object>(props: DataTableProps<Row>) {
  const [sorting, setSorting] = useState<SortingState>(props.sortedBy ? [props.sortedBy] : []);
  const [find, setFind] = useState("");
  const columns = useMemo(
    () =>
      props.columns.map((column): ColumnDef<typeof features, Row> => ({
        id: column.id,
        header: column.title,
        accessorFn: (row) => column.value(row) ?? undefined,
        sortUndefined: "last",
        sortDescFirst: false,
        sortFn: (one, other, id) => compare(one.getValue(id) as Value, other.getValue(id) as Value),
      })),
    [props.columns],
  );
  const table = useTable({
    features,
    columns,
    data: props.rows,
    getRowId: props.rowKey,
    state: { sorting, globalFilter: find },
    onSortingChange: setSorting,
    getColumnCanGlobalFilter: () => true,
    globalFilterFn: (row, id, wanted: string) => clean(row.getValue(id)).toLowerCase().includes(wanted.toLowerCase()),
    enableMultiSort: false,
  });
  const rows = table.getRowModel().rows;
  const place = useRef<HTMLDivElement>(null);
  const { before, shown, after } = useWindow(place, rows.length);
  const byId = new Map(props.columns.map((column) => [column.id, column]));
  return (
    <>
      <div class="table-tools">
        <input
          type="search"
          placeholder={`Filter ${props.noun}s`}
          aria-label={`Filter ${props.noun}s`}
          value={find}
          onInput={(event) => setFind(event.currentTarget.value)}
        />
        {props.tools}
        <span class="quiet table-count" role="status">
          {rows.length === props.rows.length
            ? plural(rows.length, props.noun)
            : `${number(rows.length)} of ${plural(props.rows.length, props.noun)}`}
        </span>
      </div>
      <div
        ref={place}
        class="scroll data-table"
        role="group"
        aria-label={props.label}
        tabIndex={0}
        style={{ maxHeight: `${MOST_PIXELS}px` }}
      >
        <table aria-rowcount={rows.length + 1}>
          <thead>
            <tr aria-rowindex={1}>
              {table.getFlatHeaders().map((header) => {
                const side = byId.get(header.id)?.numeric ? "number" : undefined;
                const sorted = header.column.getIsSorted();
                return (
                  <th
                    key={header.id}
                    scope="col"
                    class={side}
                    aria-sort={sorted === "asc" ? "ascending" : sorted === "desc" ? "descending" : undefined}
                  >
                    <button type="button" class={`sort ${sorted || ""}`} onClick={header.column.getToggleSortingHandler()}>
                      <Said text={named(byId.get(header.id)?.title)} most={28} />
                    </button>
                  </th>
                );
              })}
            </tr>
          </thead>
          <tbody>
            {before > 0 && <Gap height={before} />}
            {shown.map((at) => {
              const row = rows[at];
              if (!row) {
                return null;
              }
              return (
                <tr key={row.id} aria-rowindex={at + 2} class={props.rowClass?.(row.original)}>
                  {props.columns.map((column) => (
                    <td key={column.id} class={column.numeric ? "number" : undefined}>
                      {column.cell ? column.cell(row.original) : plain(row.getValue(column.id) as Value)}
                    </td>
                  ))}
                </tr>
              );
            })}
            {after > 0 && <Gap height={after} />}
          </tbody>
        </table>
        {!rows.length && <p class="quiet table-none">{find ? "Nothing matches." : `No ${props.noun}s yet.`}</p>}
      </div>
    </>
  );
}

function plain(value: Value): ComponentChildren {
  return isNumber(value) ? number(value) : <Said text={value} most={48} />;
}

/** The rows that are not drawn, as room. */
function Gap({ height }: { height: number }) {
  return (
    <tr aria-hidden="true" class="gap">
      <td style={{ height: `${height}px` }} />
    </tr>
  );
}

/** Which rows are to be drawn, and how much room is before and after them. */
function useWindow(place: { current: HTMLDivElement | null }, count: number) {
  const [, redraw] = useState(0);
  const options = {
    count,
    getScrollElement: () => place.current,
    estimateSize: () => ROW_PIXELS,
    overscan: 12,
    initialRect: { width: 0, height: MOST_PIXELS },
    scrollToFn: elementScroll<HTMLDivElement>,
    observeElementRect: observeElementRect<HTMLDivElement>,
    observeElementOffset: observeElementOffset<HTMLDivElement>,
    onChange: () => redraw((times) => times + 1),
  };
  const [virtualizer] = useState(() => new Virtualizer<HTMLDivElement, HTMLTableRowElement>(options));
  virtualizer.setOptions(options);
  useLayoutEffect(() => virtualizer._willUpdate());
  useEffect(() => virtualizer._didMount(), []);
  const items = virtualizer.getVirtualItems();
  const [first, last] = [items[0], items[items.length - 1]];
  return {
    before: first?.start ?? 0,
    shown: items.map((item) => item.index),
    after: last ? virtualizer.getTotalSize() - last.end : 0,
  };
}
