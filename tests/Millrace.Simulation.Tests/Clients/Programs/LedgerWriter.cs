using Millrace.Kafka;

namespace Millrace.Simulation.Tests;

/// <summary>Writes to several partitions in transactions, and commits or aborts them. Another one may have the same transactional id.</summary>
internal sealed class LedgerWriter(ClientSimulation world, string name, string transactionalId) : ClientProgram(world, name)
{
    public override bool Writes => true;

    public override async Task RunAsync(SimulatedProcess process)
    {
        await using KafkaClient client = process.NewClient();
        while (!World.IsEnding)
        {
            await WriteAsync(client);
            await World.PauseAsync(3000);
        }
    }

    private async Task WriteAsync(KafkaClient client)
    {
        await using KafkaProducer producer = client.CreateProducer(NewProducerOptions(transactionalId));
        int session = World.Model.NewSession();
        try
        {
            await PatientlyAsync(() => producer.InitTransactionsAsync());
            while (!World.IsEnding && !World.Chance(4))
            {
                await TransactAsync(producer, session);
                await World.PauseAsync(World.Chance(80) ? 500 : 2500);
            }
        }
        catch (Exception failure) when (failure is KafkaProducerFencedException or KafkaTransactionFatalException)
        {
            Note($"is over: {failure.Message}");
        }
    }

    private async Task TransactAsync(KafkaProducer producer, int session)
    {
        ClientTransaction transaction = World.Model.NewTransaction();
        producer.BeginTransaction();
        List<Task> underWay = [];
        try
        {
            for (int count = 1 + World.Next(6); count > 0; count--)
            {
                ClientRecord record = World.Model.NewRecord(World.Pick(ClientSimulation.Ledger), session, transaction);
                underWay.Add(ProduceAsync(producer, record.Partition, record.Id));
                if (World.Chance(30))
                {
                    await World.PauseAsync(World.Chance(90) ? 100 : 8000);
                }
            }

            if (World.Chance(40))
            {
                await Task.WhenAll(underWay);
            }

            if (World.Chance(25))
            {
                await AbortAsync(producer, transaction);
            }
            else
            {
                await CommitAsync(producer, transaction);
            }
        }
        catch (KafkaException failure) when (failure is not (KafkaProducerFencedException or KafkaTransactionFatalException))
        {
            Note($"has to abort: {failure.Message}");
            await AbortAsync(producer, transaction);
        }
        finally
        {
            await Task.WhenAll(underWay).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
        }
    }

    private async Task CommitAsync(KafkaProducer producer, ClientTransaction transaction)
    {
        transaction.IsCommitAsked = true;
        try
        {
            await PatientlyAsync(() => producer.CommitTransactionAsync());
        }
        catch (KafkaTransactionAbortableException)
        {
            transaction.IsCommitAsked = false;
            throw;
        }
        catch (KafkaProducerFencedException) when (World.Sabotage == ClientSabotage.IgnoreFencing)
        {
            // It has sent everything, so what could be wrong?
        }

        Note($"has committed {string.Join(", ", transaction.Records.Select(static record => record.Id))}");
        transaction.Fate = TransactionFate.Committed;
    }

    private async Task AbortAsync(KafkaProducer producer, ClientTransaction transaction)
    {
        await PatientlyAsync(() => producer.AbortTransactionAsync());
        transaction.Fate = TransactionFate.Aborted;
    }

    /// <summary>Waits on when the client has waited long enough: what was begun goes on.</summary>
    public static async Task PatientlyAsync(Func<Task> call)
    {
        while (true)
        {
            try
            {
                await call();
                return;
            }
            catch (KafkaTimeoutException)
            {
                // Again.
            }
        }
    }
}
