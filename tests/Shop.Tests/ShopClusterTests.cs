using System.Globalization;
using Millrace.Interop.Tests.Programs;
using Millrace.Tests;

namespace Shop.Tests;

/// <summary>
/// The shop as several processes on one cluster: the standalone broker as a process of its own, or what MILLRACE_TEST_BOOTSTRAP names. The
/// long run: <c>MILLRACE_SHOP_CLUSTER_KILLS=30 dotnet run -c Release --project tests/Shop.Tests -- --filter-class Shop.Tests.ShopClusterTests</c>.
/// </summary>
public sealed class ShopClusterTests : IAsyncLifetime
{
    private const int OrdersPerKill = 60;
    private const int EndedPerKill = 20;

    private static readonly string[] s_trouble = ["--decline", "0.1", "--out-of-stock", "0.1", "--flaky", "0.2"];

    private readonly ShopFolder _folder = new();
    private readonly string _prefix = TestCluster.NewNamespace();
    private TestCluster? _cluster;
    private StandaloneBroker? _broker;

    private static int KillCount => Setting("MILLRACE_SHOP_CLUSTER_KILLS", 4);

    private static int Seed => Setting("MILLRACE_SHOP_SEED", 1);

    /// <summary>A process that is killed is missed for a session, and its work for as long.</summary>
    private static TimeSpan Patience => TestBroker.Patience + TestBroker.Patience;

    public async ValueTask InitializeAsync()
    {
        if (TestCluster.IsExternal)
        {
            _cluster = await TestCluster.GetAsync();
            _cluster.Require(Millrace.Kafka.Protocol.CreateTopicsRequest.Api, lowest: 1);
        }
        else
        {
            _broker = await StandaloneBroker.StartAsync();
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_cluster is not null)
        {
            await _cluster.DeleteAsync(name => name.StartsWith(_prefix, StringComparison.Ordinal));
        }

        if (_broker is not null)
        {
            await _broker.DisposeAsync();
        }

        _folder.Dispose();
    }

    [Fact]
    public async Task Three_processes_one_killed_again_and_again_finish_what_was_accepted_and_the_books_agree()
    {
        int orderCount = KillCount * OrdersPerKill;
        string[][] roles =
        [
            ["--role", "payment", .. s_trouble],
            ["--role", "stock", .. s_trouble],
            ["--role", "orders", "--exit", "--orders", Text(orderCount), .. s_trouble],
        ];
        RunningProgram[] processes = [.. roles.Select(Start)];
        try
        {
            Random random = new(Seed);
            int victim = random.Next(roles.Length);
            for (int kill = 1; kill <= KillCount; kill++)
            {
                await WaitForEndedAsync(kill * EndedPerKill, processes, $"kill {kill} of {KillCount}, MILLRACE_SHOP_SEED={Seed}");
                await processes[victim].KillAsync();
                await processes[victim].DisposeAsync();
                processes[victim] = Start(roles[victim]);
                victim = (victim + 1 + random.Next(roles.Length - 1)) % roles.Length;
            }

            await RequireSuccessAsync(processes[2], processes);
            ShopFolder.RequireGood(ShopFolder.Read(processes[2]), orderCount);
            foreach (RunningProgram service in processes[..2])
            {
                service.RequestStop();
                await service.RequireSuccessAsync();
                Assert.StartsWith("Stopped.", service.Output[^1], StringComparison.Ordinal);
            }
        }
        finally
        {
            foreach (RunningProgram process in processes)
            {
                TestContext.Current.TestOutputHelper?.WriteLine(process.Transcript);
                await process.DisposeAsync();
            }
        }
    }

    [Fact]
    public async Task Two_processes_of_every_role_share_the_work_and_the_books()
    {
        RunningProgram[] processes = [.. Enumerable.Range(0, 2).Select(_ => Start(["--role", "all", "--exit", "--orders", "80", .. s_trouble]))];
        try
        {
            foreach (RunningProgram process in processes)
            {
                await RequireSuccessAsync(process, processes);
                ShopFolder.RequireGood(ShopFolder.Read(process), 80);
            }
        }
        finally
        {
            foreach (RunningProgram process in processes)
            {
                TestContext.Current.TestOutputHelper?.WriteLine(process.Transcript);
                await process.DisposeAsync();
            }
        }
    }

    [Fact]
    public async Task What_a_process_leaves_that_is_killed_another_of_its_role_carries_on()
    {
        RunningProgram[] processes = [.. Enumerable.Range(0, 2).Select(_ => Start(["--role", "all", "--exit", "--orders", "150", .. s_trouble]))];
        try
        {
            await WaitForEndedAsync(30, processes, "one of two is killed");
            await processes[0].KillAsync();

            await RequireSuccessAsync(processes[1], processes);
            ShopFolder.RequireGood(ShopFolder.Read(processes[1]), 150);
        }
        finally
        {
            foreach (RunningProgram process in processes)
            {
                TestContext.Current.TestOutputHelper?.WriteLine(process.Transcript);
                await process.DisposeAsync();
            }
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task A_process_that_sleeps_beyond_its_session_and_wakes_spoils_nothing(int sleeper)
    {
        RunningProgram[] processes = [.. Enumerable.Range(0, 2).Select(_ => Start(["--role", "all", "--exit", "--orders", "150", .. s_trouble]))];
        try
        {
            await WaitForEndedAsync(20, processes, $"process {sleeper} sleeps");
            processes[sleeper].Pause();
            // Real time: longer than the session of the shop's processes, 6 s, so that the other one takes over.
            await Task.Delay(TimeSpan.FromSeconds(9), TimeProvider.System);
            processes[sleeper].Resume();

            foreach (RunningProgram process in processes)
            {
                await RequireSuccessAsync(process, processes);
                ShopFolder.RequireGood(ShopFolder.Read(process), 150);
            }
        }
        finally
        {
            foreach (RunningProgram process in processes)
            {
                TestContext.Current.TestOutputHelper?.WriteLine(process.Transcript);
                await process.DisposeAsync();
            }
        }
    }

    [Fact]
    public async Task A_cluster_that_nobody_answers_for_is_refused_with_a_sentence()
    {
        await using RunningProgram shop = _folder.Start("--kafka", "nowhere", "--exit", "--orders", "1");
        shop.RequestStop();
        Assert.NotEqual(0, await shop.WaitForExitAsync());
        Assert.DoesNotContain(shop.Error, line => line.StartsWith("   at ", StringComparison.Ordinal));
    }

    private static int Setting(string name, int byDefault) =>
        Environment.GetEnvironmentVariable(name) is { Length: > 0 } text ? int.Parse(text, CultureInfo.InvariantCulture) : byDefault;

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);

    private static async Task RequireSuccessAsync(RunningProgram process, RunningProgram[] all)
    {
        long start = TimeProvider.System.GetTimestamp();
        using PeriodicTimer timer = new(TimeSpan.FromMilliseconds(50));
        while (!process.HasEnded)
        {
            Assert.True(TimeProvider.System.GetElapsedTime(start) < Patience, Transcripts(all));
            await timer.WaitForNextTickAsync();
        }

        Assert.True(process.ExitCode == 0, $"Exit code {process.ExitCode}.\n{Transcripts(all)}");
    }

    private static string Transcripts(RunningProgram[] processes) => string.Join('\n', processes.Select(process => process.Transcript));

    private RunningProgram Start(string[] options) => _folder.Start(
        ["--kafka", TestCluster.Address ?? _broker!.Address, "--prefix", _prefix, "--replicas", Text(_cluster?.ReplicationFactor ?? -1), .. options]);

    private async Task WaitForEndedAsync(int count, RunningProgram[] processes, string moment)
    {
        long start = TimeProvider.System.GetTimestamp();
        using PeriodicTimer timer = new(TimeSpan.FromMilliseconds(20));
        while (await timer.WaitForNextTickAsync())
        {
            Tally? tally = await TryCountAsync();
            if (tally?.Ended >= count)
            {
                return;
            }

            Assert.True(
                TimeProvider.System.GetElapsedTime(start) < Patience && !processes.Any(process => process.HasEnded),
                $"{moment}: {tally}\n{Transcripts(processes)}");
        }
    }

    private async Task<Tally?> TryCountAsync()
    {
        await using ShopDatabases databases = new(_folder.Options);
        return (await databases.FindMissingAsync(CancellationToken.None)).Count > 0 ? null : await databases.CountAsync(CancellationToken.None);
    }
}
