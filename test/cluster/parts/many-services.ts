import { nodes } from '../api.ts';
import { createServices, deleteServices } from '../bulk.ts';
import { runProgram } from '../command.ts';
import { inSeconds, type Part, timed, underLoad } from '../part.ts';

const count = 2000;

export const manyServices: Part = {
  name: 'many-services',
  about: `${count} services come and go`,
  async run(context) {
    const { backends, say } = context;
    try {
      return await underLoad(context, async () => {
        let last = '';
        const createMs = await timed(async () => {
          last = await createServices(0, count, () => backends.podIps);
        });
        say(`${count} services with 3 endpoints each created within ${inSeconds(createMs)}`);
        for (const node of nodes) {
          const ms = await runProgram<number>(node, 'try-connect.ts', [last, '80', '60000'], 70_000);
          say(`${node}: the last one works ${inSeconds(ms)} later`);
        }
        say(`deleted within ${inSeconds(await timed(() => deleteServices(0, count)))}`);
        return [];
      });
    } finally {
      await deleteServices(0, count);
    }
  },
};
