using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka.Protocol;
using Millrace.Log;

namespace Millrace.Broker.Tests;

public sealed class ProducerIdsTests
{
    private const int RestartCount = 100;

    [Fact]
    public void No_producer_id_is_given_out_twice_over_a_hundred_crashes()
    {
        (int givenCount, int faultCount) = RunWithCrashes(new SimulatedStorage(1));
        Assert.Equal(0, faultCount);
        Assert.True(givenCount > 50 * ProducerIds.BlockSize, $"Only {givenCount} ids were given out.");
    }

    [Fact]
    public void On_a_disk_whose_flush_does_nothing_producer_ids_repeat_or_their_file_is_torn()
    {
        (_, int faultCount) = RunWithCrashes(new SimulatedStorage(1) { IgnoresFlushes = true });
        Assert.True(faultCount > 10, "A lying disk did no harm: the check cannot fail.");
    }

    [Fact]
    public void A_disk_that_refuses_the_reservation_gives_no_id()
    {
        SimulatedStorage storage = new(1);
        storage.CreateDirectory("/data");
        ProducerIds ids = ProducerIds.Open(storage, "/data", NullLogger.Instance);
        storage.FailNext(SimulatedOperation.SyncData);
        Assert.False(ids.TryTake(out _));
        Assert.True(ids.TryTake(out long first));
        Assert.Equal(0, first);
    }

    [Theory]
    [InlineData("")]
    [InlineData("1\n3000\n")]
    [InlineData("0\n-5\n")]
    [InlineData("0\nmany\n")]
    public void A_file_that_says_nothing_sensible_is_refused_with_what_to_do(string content)
    {
        SimulatedStorage storage = new(1);
        storage.CreateDirectory("/data");
        AtomicFile.Write(storage, "/data", ProducerIds.FileName, content);
        BrokerStartException refused = Assert.Throws<BrokerStartException>(() => ProducerIds.Open(storage, "/data", NullLogger.Instance));
        Assert.Contains("/data/producer-ids", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_producer_gets_a_new_id_also_where_it_names_the_one_it_has()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using TestClient client = broker.Connect();
        HashSet<long> ids = [];
        for (short version = 0; version <= 4; version++)
        {
            InitProducerIdResponse response = await client.SendAsync<InitProducerIdRequest, InitProducerIdResponse>(
                new InitProducerIdRequest { ProducerId = 0, ProducerEpoch = 3 }, version);
            Assert.Equal((ErrorCode.None, (short)0), (response.ErrorCode, response.ProducerEpoch));
            Assert.True(ids.Add(response.ProducerId));
        }
    }

    /// <summary>Opens the ids again and again, takes some, and loses the power in the middle of something. A fault is an id that comes again, or a file that cannot be read.</summary>
    private static (int GivenCount, int FaultCount) RunWithCrashes(SimulatedStorage storage)
    {
        Random random = new(7);
        HashSet<long> given = [];
        int faultCount = 0;
        storage.CreateDirectory("/data");
        storage.SyncDirectory("/");
        for (int restart = 0; restart < RestartCount; restart++)
        {
            storage.CrashAfter(random.Next(12));
            try
            {
                ProducerIds ids = ProducerIds.Open(storage, "/data", NullLogger.Instance);
                for (int count = random.Next(5 * ProducerIds.BlockSize); count > 0; count--)
                {
                    if (ids.TryTake(out long id) && !given.Add(id))
                    {
                        faultCount++;
                    }
                }
            }
            catch (SimulatedCrashException)
            {
                // As meant.
            }
            catch (BrokerStartException)
            {
                faultCount++;
            }

            storage = storage.Crash(SimulatedCrashKind.PowerLoss);
            if (!storage.DirectoryExists("/data"))
            {
                storage.CreateDirectory("/data");
            }
        }

        return (given.Count, faultCount);
    }
}
