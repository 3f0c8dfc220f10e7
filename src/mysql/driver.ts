/** What this program takes of mysql2, apart from the rest so that it is read only where there is a MySQL. */
export { createConnection } from 'mysql2'
