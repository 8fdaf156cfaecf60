/** The mark of the page: the same drawing as `public/favicon.svg`. */
export function Brand() {
  return (
    <svg class="brand" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <rect class="brand-ground" width="32" height="32" rx="9" />
      <rect class="brand-shape" x="6.5" y="10" width="12.5" height="12" rx="3.5" />
      <path class="brand-shape" d="m20.5 14.6 4-2.6c.5-.3 1.2 0 1.2.7v6.6c0 .7-.7 1-1.2.7l-4-2.6z" />
    </svg>
  );
}
