using System.Data.Common;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Millrace;

namespace Shop;

/// <summary>What the databases of the services have in common: SQLite, one file each, on the disk when a transaction has committed.</summary>
internal static class Databases
{
    public static MillraceBuilder AddDatabase<TDatabase>(
        this MillraceBuilder millrace, ShopOptions options, string service, Action<TDatabase>? seed = null)
        where TDatabase : DbContext
    {
        millrace.Services.AddDbContextPool<TDatabase>(database => Configure(database, options.DatabasePath(service)));
        millrace.Services.AddSingleton<IHostedService>(services => new DatabaseCreation<TDatabase>(
            services.GetRequiredService<IServiceScopeFactory>(), services.GetRequiredService<TimeProvider>(), options, service, seed));
        return millrace;
    }

    /// <summary>For a database that is there: opening it makes none.</summary>
    public static DbContextOptions<TDatabase> Options<TDatabase>(string path)
        where TDatabase : DbContext
    {
        DbContextOptionsBuilder<TDatabase> builder = new();
        Configure(builder, path, ";Mode=ReadWrite");
        return builder.Options;
    }

    private static void Configure(DbContextOptionsBuilder builder, string path, string more = "") =>
        builder.UseSqlite($"Data Source={path}{more}").AddInterceptors(ConnectionSettings.Instance);

    /// <summary>Settings that SQLite keeps by connection, and not in the file.</summary>
    private sealed class ConnectionSettings : DbConnectionInterceptor
    {
        // FULL: a commit has synced the write-ahead log. The time-out: a second writer waits for the first one inside SQLite.
        private const string Commands = "PRAGMA synchronous = FULL; PRAGMA busy_timeout = 10000;";

        public static readonly ConnectionSettings Instance = new();

        public override void ConnectionOpened(DbConnection connection, ConnectionEndEventData eventData)
        {
            using DbCommand command = connection.CreateCommand();
            command.CommandText = Commands;
            command.ExecuteNonQuery();
        }

        public override async Task ConnectionOpenedAsync(
            DbConnection connection, ConnectionEndEventData eventData, CancellationToken cancellationToken = default)
        {
            await using DbCommand command = connection.CreateCommand();
            command.CommandText = Commands;
            await command.ExecuteNonQueryAsync(cancellationToken);
        }
    }
}

/// <summary>
/// Makes a service's database before its handlers run. On a cluster several processes of one role share a database, and one after the other
/// comes here.
/// </summary>
internal sealed class DatabaseCreation<TDatabase>(
    IServiceScopeFactory scopes, TimeProvider time, ShopOptions options, string service, Action<TDatabase>? seed) : IHostedLifecycleService
    where TDatabase : DbContext
{
    private static readonly TimeSpan s_longestCreation = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(20);

    public async Task StartingAsync(CancellationToken cancellationToken)
    {
        try
        {
            // The lock goes with the process that holds it, however that ends.
            await using FileStream creating = await LockAsync(cancellationToken);
            await using AsyncServiceScope scope = scopes.CreateAsyncScope();
            TDatabase database = scope.ServiceProvider.GetRequiredService<TDatabase>();
            // The tables come in one transaction and so does the seed, which looks before it adds: a kill in between leaves either or neither.
            await database.Database.EnsureCreatedAsync(cancellationToken);
            await database.Database.ExecuteSqlRawAsync("PRAGMA journal_mode = WAL;", cancellationToken);
            if (seed is not null)
            {
                seed(database);
                await database.SaveChangesAsync(cancellationToken);
            }
        }
        catch (Exception failure) when (failure is DbException or IOException or UnauthorizedAccessException)
        {
            throw new ShopException(
                $"The database of the {service} service, {Path.GetFullPath(options.DatabasePath(service))}, cannot be used: {failure.Message} Check who may write to the directory, or give another one with --data.",
                failure);
        }
    }

    private async Task<FileStream> LockAsync(CancellationToken cancellationToken)
    {
        long start = time.GetTimestamp();
        while (true)
        {
            try
            {
                return new FileStream($"{options.DatabasePath(service)}.lock", FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException failure) when (failure is not DirectoryNotFoundException && time.GetElapsedTime(start) < s_longestCreation)
            {
                await Task.Delay(s_pause, TimeProvider.System, cancellationToken);
            }
        }
    }

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}
